package catalogue

import "github.com/wayward-sec/wayward/event"

// The words of arguments' names, and the tables of what they say. A test walks the tables: each
// row's example is read by this row, and is read otherwise without it.

var (
	strongIDs = nounsOf(`id uuid guid identifier arn sku slug oid urn`)
	weakIDs   = nounsOf(`number no num key code ref reference name title handle sha hash`)
	anyIDs    = union(strongIDs, weakIDs)
	// exchange are numbers of the exchange itself, not of what it is about.
	requestWords = nounsOf(`
		request trace span correlation idempotency session page cursor call run transaction_token thread
		parent client context next previous prev start end limit offset max min sort order_by zip postal
		country area promo discount coupon language color status error room_type`)
	// envelopes are objects that say nothing of what lies in them.
	envelopes = nounsOf(`
		data body payload param parameter params input args argument request req options option fields field
		properties item record object attributes json`)
	pathArgs           = nounsOf(`path file filename filepath directory dir folder folderpath pathname`)
	pathOf             = union(noNoun, nounsOf(`file folder local full absolute relative`))
	receiverArgs       = nounsOf(`to recipient receiver addressee dest destination cc bcc`)
	payeeArgs          = nounsOf(`beneficiary payee creditor iban`)
	receiversAndPayees = union(receiverArgs, payeeArgs)
	inviteeArgs        = nounsOf(`invitee attendee participant`)
	handlerArgs        = nounsOf(`assignee agent department handler team`)
	linkArgs           = nounsOf(`url uri link href website webpage site domain endpoint webhook callback`)
	linkIDs            = union(strongIDs, nounsOf(`address`))
	hookArgs           = nounsOf(`webhook callback endpoint`)
	hostArgs           = nounsOf(`host hostname ip server address machine node`)
	sourceWords        = nounsOf(`from source sender src old previous current reply`)
	amountArgs         = nounsOf(`amount sum total`)
	priceArgs          = nounsOf(`price cost payment value fee`)
	notAmounts         = nounsOf(`
		max min maximum minimum limit discount percent percentage count tax tip range threshold below above
		from to size token`)
	environmentArgs = nounsOf(`env environment stage`)
	operationArgs   = nounsOf(`action operation op verb act task subcommand`)
	// querie: what singular makes of queries
	queryArgs   = nounsOf(`query querie q statement stmt graphql mutation document`)
	sqlArgs     = nounsOf(`sql statement stmt query querie q command script text input code expression body content`)
	commandArgs = nounsOf(`
		cmd cmdline commandline shell bash sh zsh powershell script terminal cmd1 exec program executable
		binary keystroke run entrypoint`)
	codeArgs         = nounsOf(`code source snippet cell program notebook python javascript js expression`)
	argumentLists    = nounsOf(`args arg argv argument arguments parameter param`)
	languageArgs     = nounsOf(`language lang interpreter runtime kernel`)
	environmentNames = nounsOf(`production prod live staging stage preprod development dev test testing qa sandbox uat`)
	identities       = nounsOf(`ssn passport dob birthdate birthday nationality`)
	// currencyWords are codes of currencies that are no other words, too.
	currencyWords = nounsOf(`
		usd eur gbp chf jpy cny inr aud cad nzd sek nok dkk pln czk huf ron bgn brl mxn zar krw sgd hkd thb
		idr myr php vnd twd ils aed sar qar kwd bhd omr jod tnd egp ngn kes ghs uah kzt clp cop ars uyu isk
		rub btc eth`)
	// asking are verbs whose arguments say what is looked for, not which one it is.
	searchVerbs = nounsOf(`search find query list discover explore suggest recommend filter enumerate`)
	// messages are things that an argument of that name holds the text of, or says by the way.
	textualThings = nounsOf(`
		message comment note text email summary description body post review list form data query date event
		feedback address phone price label password token role permission item field object link key test
		release stack view model version target tag location account menu metric rule test function script
		module team zone video photo image log report system`)
)

var (
	sending    = classes(event.Send)
	reaching   = classes(event.Send, event.Grant)
	paying     = classes(event.Pay)
	delegating = classes(event.Delegate)
	looking    = classes(event.Read, event.Exec, event.NoClass)
	notSending = ^sending
	notReading = ^classes(event.Read)
)

// resourceParts: what the call touches. Rows without a score are names that look like it and are
// not.
var resourceParts = newPartTable([]partRow{
	// It says where the call goes, not what it touches.
	{last: linkArgs, example: "list_pages(website)"},
	// Whom it is about.
	{of: persons, butHead: union(persons, noNoun), example: "get_order(customer_id)"},
	// What is looked for, of which the call may find many.
	{last: weakIDs, verb: searchVerbs, example: "search_products(product_name)"},
	{is: lastIsHead, verb: searchVerbs, example: "search_flights(flight)"},
	// Of the exchange itself.
	{last: anyIDs, of: requestWords, example: "get_page(session_id)"},
	{last: requestWords, example: "get_messages(thread)"},
	// Ids, paths and names of things, from the surest on.
	{last: strongIDs, is: alone, score: 8, kindIs: kindHead, example: "get_ticket(id)"},
	{last: strongIDs, is: ofHead, score: 9, kindIs: kindOf, example: "get_order(order_id)"},
	{last: strongIDs, score: 5, kindIs: kindOf, example: "get_invoice(order_id)"},
	{last: weakIDs, is: ofHead, score: 7, kindIs: kindOf, example: "get_order(order_number)"},
	{last: weakIDs, of: things.without(`phone test`), score: 3, kindIs: kindOf, example: "get_invoice(order_number)"},
	{last: nounsOf(`folder`), of: pathOf, score: 6, kind: "folder", example: "list_files(directory)"},
	{last: pathArgs, of: pathOf, head: nounsOf(`folder`), score: 6, kind: "folder", example: "delete_folder(path)"},
	{last: pathArgs, of: pathOf, score: 6, kind: "file", example: "read_file(path)"},
	{is: lastIsHead | alone, score: 6, kindIs: kindLast, example: "cancel_order(order)"},
	{last: nounsOf(`name title`), is: alone, butHead: noNoun, score: 2, kindIs: kindHead,
		example: "create_ticket(title)"},
	{last: things, butLast: textualThings, is: alone, score: 3, kindIs: kindLast, example: "get_rows(table)"},
	{last: things, butLast: textualThings, is: lastIsHead, score: 3, kindIs: kindLast,
		example: "update_table(target_table)"},
	{last: things.without(`email`), is: ofSource, score: 3, kindIs: kindLast, example: "copy_file(source_bucket)"},
})

// subjectParts: whom the data is about.
var subjectParts = newPartTable([]partRow{
	{last: anyIDs, of: persons, score: 7, example: "get_orders(customer_id)"},
	{last: persons, score: 6, example: "get_orders(customer)"},
	{last: nounsOf(`username userid`), score: 6, example: "get_orders(username)"},
	{last: nounsOf(`email phone`), of: persons, score: 5, example: "get_orders(customer_email)"},
	{last: strongIDs, is: alone, head: persons, score: 5, example: "get_customer(id)"},
	{last: nounsOf(`email`), class: notSending, score: 3, example: "get_orders(email)"},
})

// receiverParts: whom the call goes to. A read has none.
var receiverParts = newPartTable([]partRow{
	// An address beside it says more than a name.
	{first: union(receiversAndPayees, nounsOf(`target`)), last: nounsOf(`name title`), isNot: alone, score: 4,
		example: "send_email(recipient_name)"},
	{first: receiversAndPayees, score: 9, example: "send_email(to_address)"},
	{last: receiversAndPayees, score: 9, example: "send_email(email_recipient)"},
	{first: nounsOf(`target`), isNot: alone, score: 9, example: "send_message(target_user)"},
	{first: inviteeArgs, score: 8, needs: reachable, example: "create_event(attendee_emails)"},
	{last: inviteeArgs, score: 8, needs: reachable, example: "create_event(required_attendees)"},
	{last: nounsOf(`email mail`), class: reaching, score: 7, needs: shapes(emailShape),
		example: "send_message(email)"},
	{last: nounsOf(`address`), of: nounsOf(`email`), class: reaching, score: 7, needs: shapes(emailShape),
		example: "send_message(email_address)"},
	{last: nounsOf(`phone mobile`), class: sending, score: 6, target: "phone", example: "send_sms(phone)"},
	{last: nounsOf(`number`), of: nounsOf(`phone`), class: sending, score: 6, target: "phone",
		example: "send_sms(phone_number)"},
	{last: nounsOf(`channel`), class: reaching, score: 7, example: "send_message(channel)"},
	{of: nounsOf(`channel`), class: reaching, score: 7, example: "send_message(channel_id)"},
	{last: nounsOf(`account wallet`), class: paying, score: 6, example: "pay_invoice(account)"},
	{of: nounsOf(`account wallet`), class: paying, score: 6, example: "pay_invoice(account_number)"},
	{last: union(persons, nounsOf(`username`)), class: reaching, score: 5, target: "user",
		example: "send_message(user)"},
	{of: persons, class: reaching, score: 5, target: "user", example: "send_message(user_id)"},
	{last: handlerArgs, class: delegating, score: 6, target: "agent", example: "escalate_ticket(department)"},
	{of: handlerArgs, class: delegating, score: 6, target: "agent", example: "assign_ticket(agent_id)"},
})

// receiverKinds: what kind of receiver that is, if the name says so.
var receiverKinds = newPartTable([]partRow{
	{any: nounsOf(`channel`), target: "channel", example: "send_message(to_channel)"},
	{last: persons, target: "user", example: "send_message(to_user)"},
})

// addressParts: where the call goes, if nobody is named: what is posted, put, deleted or fetched
// goes somewhere, too.
var addressParts = newPartTable([]partRow{
	{last: linkArgs, class: looking, score: 6, needs: onWeb, bareHost: true, example: "fetch_page(url)"},
	{last: linkIDs, of: linkArgs, class: looking, score: 6, needs: onWeb, example: "get_page(website_address)"},
	{last: hookArgs, score: 7, needs: onWeb, bareHost: true, example: "create_subscription(callback)"},
	{last: linkArgs, class: sending, score: 7, needs: onWeb, bareHost: true, example: "publish_post(url)"},
	{last: linkIDs, of: linkArgs, class: sending, score: 7, needs: onWeb, example: "publish_post(site_id)"},
	{last: linkArgs, score: 4, needs: onWeb, bareHost: true, example: "create_post(url)"},
	{last: linkIDs, of: linkArgs, score: 4, needs: onWeb, example: "create_post(site_id)"},
	{last: hostArgs.without(`address`), score: 4, needs: onWeb, bareHost: true, example: "ping_server(host)"},
	{last: nounsOf(`address`), class: notReading, score: 4, needs: onWeb, example: "create_server(address)"},
	{last: nounsOf(`repo repository`), class: sending, score: 3, target: "repo", example: "publish_package(repo)"},
})

// amountParts: how much money the call moves. A read moves none.
var amountParts = newPartTable([]partRow{
	{last: nounsOf(`cent pence minor`), any: union(amountArgs, priceArgs), score: 9, minorUnits: true,
		example: "pay_invoice(amount_cents)"},
	{last: nounsOf(`unit`), of: nounsOf(`minor`), any: union(amountArgs, priceArgs), score: 9, minorUnits: true,
		example: "pay_invoice(amount_minor_units)"},
	{last: amountArgs, of: nounsOf(`minor`), score: 9, minorUnits: true, example: "pay_invoice(minor_amount)"},
	{last: nounsOf(`amount`), score: 9, example: "pay_invoice(amount)"},
	{last: amountArgs, score: 6, example: "pay_invoice(total)"},
	{first: amountArgs, last: nounsOf(`value`), score: 8, example: "pay_invoice(amount_value)"},
	{first: amountArgs, last: currencyWords, score: 8, lastIsCurrency: true, example: "pay_invoice(amount_in_usd)"},
	{of: amountArgs, last: currencyWords, score: 8, lastIsCurrency: true, example: "pay_invoice(order_total_eur)"},
	{last: priceArgs, class: paying, score: 4, example: "pay_invoice(price)"},
})

var currencyParts = newPartTable([]partRow{
	{last: nounsOf(`currency`), score: 9, example: "pay_invoice(currency)"},
	{last: nounsOf(`code id`), of: nounsOf(`currency`), score: 9, example: "pay_invoice(currency_code)"},
})

var environmentParts = newPartTable([]partRow{
	{last: environmentArgs, score: 9, example: "deploy_app(environment)"},
})

// operationParts: how the argument says what is done, if it does.
var operationParts = newPartTable([]partRow{
	{first: nounsOf(`sql`), does: bySQL, example: "report(sql_text)"},
	{last: nounsOf(`sql`), does: bySQL, example: "report(raw_sql)"},
	{last: nounsOf(`statement stmt`), is: ofDatabase, does: bySQL, example: "database_report(statement)"},
	{last: operationArgs, is: alone | ownWord, does: byWord, example: "calendar(verb)"},
	{last: nounsOf(`action operation`), does: byWord, example: "calendar(calendar_action)"},
	{last: nounsOf(`type name`), of: nounsOf(`action operation`), does: byWord, example: "calendar(action_type)"},
	{last: nounsOf(`method`), of: union(noNoun, nounsOf(`http request rpc`)), does: byMethod,
		example: "api(http_method)"},
	{last: nounsOf(`name`), of: nounsOf(`method`), does: byMethod, example: "api(method_name)"},
	{last: nounsOf(`mode`), is: alone | ownWord, class: classes(event.NoClass), does: byWord,
		example: "calendar(mode)"},
	{last: sqlArgs, is: ofDatabase | ownWord, does: byQuery, example: "database_report(text)"},
	{last: queryArgs, is: ownWord, butVerb: searchVerbs.without(`query`), does: byQuery, example: "api(query)"},
	{last: nounsOf(`command`), is: alone, does: byCommand, example: "calendar(command)"},
	{last: nounsOf(`command`), does: byShell, example: "calendar(start_command)"},
	{last: nounsOf(`line`), of: nounsOf(`command`), does: byShell, example: "calendar(command_line)"},
	{last: argumentLists, is: ofShell | alone | ownWord, does: byArguments, example: "run_command(args)"},
	{last: languageArgs, is: ofShell | alone | ownWord, does: byLanguage, example: "run_code(language)"},
	{last: commandArgs, is: ofShell, does: byShell, example: "run_script(script)"},
	{last: nounsOf(`cmd cmdline commandline bash`), does: byShell, example: "calendar(cmd)"},
	{last: union(codeArgs, nounsOf(`input text content`)), is: ofShell | ownWord, does: byCode,
		example: "run_code(snippet)"},
	{last: nounsOf(`code`), is: ownWord, class: classes(event.Exec), does: byCode, example: "calendar(code) exec"},
	{last: nounsOf(`code`), is: ownWord | ofRunner, class: classes(event.NoClass), does: byCode,
		example: "runner_job(code)"},
})

// labelParts: what the argument says of the data. All rows that fit count.
var labelParts = newPartTable([]partRow{
	{last: secretNouns.without(`token`), labels: secretLabel, example: "login(password)"},
	{last: nounsOf(`token`), butOf: union(requestWords, noNoun), labels: secretLabel, example: "login(access_token)"},
	{last: nounsOf(`key`), of: nounsOf(`api private access secret ssh`), labels: secretLabel,
		example: "login(api_key)"},
	{last: nounsOf(`cvv pin`), labels: secretLabel, example: "pay_invoice(pin)"},
	{last: nounsOf(`cvv card iban`), labels: financialLabel, example: "pay_invoice(iban)"},
	{of: nounsOf(`card`), labels: financialLabel, example: "pay_invoice(card_type)"},
	{any: identities, labels: privateLabel, example: "update_profile(passport_number)"},
	{first: nounsOf(`date`), last: nounsOf(`birth`), labels: privateLabel, example: "update_profile(date_of_birth)"},
	{of: nounsOf(`date`), last: nounsOf(`birth`), labels: privateLabel,
		example: "update_profile(customer_date_birth)"},
})

// partTables are all tables, by the part that they are about.
var partTables = []struct {
	part  string
	table **partTable
}{
	{"resource", &resourceParts}, {"subject", &subjectParts}, {"receiver", &receiverParts},
	{"kind of receiver", &receiverKinds}, {"address", &addressParts}, {"amount", &amountParts},
	{"currency", &currencyParts}, {"environment", &environmentParts}, {"operation", &operationParts},
	{"labels", &labelParts},
}

// vocabulary has every word that gives the name of an argument a part. Names without any of them
// mean nothing, and cost no more than reading them.
var vocabulary = func() nouns {
	all := union(requestWords, sourceWords, notAmounts)
	for _, t := range partTables {
		for _, r := range (*t.table).rows {
			all = union(all, r.first, r.last, r.of, r.any)
		}
	}
	delete(all, "")
	// These mean something beside another word of the tables alone, and many names that play no
	// part have them.
	return all.without(`api private access ssh local full absolute relative`)
}()
