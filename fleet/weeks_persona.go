package fleet

import (
	"math"
	"math/rand/v2"
)

// persona is a role and how its agents work. The parameters are those on which the detectors'
// formulas were chosen (docs/statistics.md, Made-up weeks): activity is lognormal between agents,
// follows the hour of the week and shares good and bad days; tasks follow workflows with loops,
// noise and errors; results have heavy tails.
type persona struct {
	name     string
	agents   int
	sessions float64 // of the median agent on an average day
	spread   float64 // sigma of ln(activity) between agents
	always   bool    // works around the clock, not in office hours
	weekend  float64 // activity on Saturday and Sunday against other days
	think    [2]float64
	// mean and sigma of ln(records of a read); think: likewise of ln(seconds between calls)
	records  [2]float64
	pareto   float64 // index of the tail from which 3 % of reads come; 0: none
	noise    float64 // probability that a step is preceded by a call of any tool
	errors   float64 // probability that a call fails
	things   int     // resources, taken by Zipf's law with exponent zipf
	zipf     float64
	busy     float64 // coefficient of variation of the day that all agents share
	intents  int
	subjects bool    // a session is about one customer
	internal float64 // share of sends that stay within the company
	open     bool    // the other destinations are ever new ones; else there are some forty
	tools    []tool
}

// tool is what agents call. Names, servers and resources are made up and carry no weight: nothing
// that detects knows them.
type tool struct {
	name, server, class, resource string
}

// sends tells whether a call of the tool has a destination.
func (t *tool) sends() bool { return t.class == "send" || t.class == "pay" || t.resource == "page" }

// Personas are the names of those that agents play.
func Personas() (names []string) {
	for _, p := range personas() {
		names = append(names, p.name)
	}
	return
}

func personas() []persona {
	return []persona{
		{name: "support", agents: 60, sessions: 30, spread: .7, weekend: .3, think: [2]float64{1.5, .8},
			records: [2]float64{.3, .7}, noise: .01, errors: .02,
			things: 50_000, zipf: 1.05, busy: .25, intents: 8, subjects: true, internal: .1, open: true, tools: []tool{
				{"reply_customer", "mail", "send", "message"}, {"get_ticket", "crm", "read", "ticket"},
				{"search_tickets", "crm", "read", "ticket"},
				{"get_customer", "crm", "read", "customer"}, {"list_orders", "shop", "read", "order"},
				{"get_order", "shop", "read", "order"},
				{"search_articles", "kb", "read", "article"}, {"read_article", "kb", "read", "article"},
				{"read_thread", "crm", "read", "thread"},
				{"add_note", "crm", "write", "ticket"}, {"update_ticket", "crm", "write", "ticket"},
				{"tag_ticket", "crm", "write", "ticket"},
				{"hand_over", "crm", "delegate", "ticket"}, {"close_ticket", "crm", "write", "ticket"}}},
		{name: "refunds", agents: 25, sessions: 15, spread: .6, weekend: .4, think: [2]float64{1.8, .7},
			records: [2]float64{.2, .5}, noise: .005, errors: .03,
			things: 20_000, zipf: 1.05, busy: .3, intents: 5, subjects: true, internal: .3, open: true, tools: []tool{
				{"issue_refund", "payments", "pay", "payment"}, {"get_order", "shop", "read", "order"},
				{"get_payment", "payments", "read", "payment"},
				{"check_risk", "risk", "read", "score"}, {"get_customer", "crm", "read", "customer"},
				{"list_refunds", "payments", "read", "payment"},
				{"quote_refund", "payments", "read", "payment"}, {"update_case", "crm", "write", "case"},
				{"notify_customer", "mail", "send", "message"},
				{"approve_refund", "payments", "approve", "payment"}}},
		{name: "analyst", agents: 30, sessions: 6, spread: 1, weekend: .1, think: [2]float64{2.3, 1.1},
			records: [2]float64{3.5, 1.8}, pareto: 1.4, noise: .04, errors: .06,
			things: 4_000, zipf: 1.2, busy: .4, intents: 12, internal: .95, tools: []tool{
				{"share_report", "mail", "send", "report"}, {"run_query", "warehouse", "read", "table"},
				{"list_tables", "warehouse", "read", "schema"},
				{"describe_table", "warehouse", "read", "schema"}, {"sample_rows", "warehouse", "read", "table"},
				{"count_rows", "warehouse", "read", "table"},
				{"join_tables", "warehouse", "read", "table"}, {"export_rows", "warehouse", "read", "table"},
				{"read_dashboard", "bi", "read", "dashboard"},
				{"list_dashboards", "bi", "read", "dashboard"}, {"update_dashboard", "bi", "write", "dashboard"},
				{"plot_chart", "bi", "exec", "chart"},
				{"read_sheet", "office", "read", "sheet"}, {"write_sheet", "office", "write", "sheet"},
				{"search_files", "office", "read", "file"},
				{"read_file", "office", "read", "file"}, {"write_file", "office", "write", "file"},
				{"fit_model", "notebook", "exec", "job"},
				{"run_cell", "notebook", "exec", "job"}, {"read_output", "notebook", "read", "job"},
				{"post_message", "chat", "send", "message"},
				{"read_channel", "chat", "read", "channel"}, {"get_metric", "bi", "read", "metric"},
				{"list_metrics", "bi", "read", "metric"}}},
		{name: "coder", agents: 40, sessions: 8, spread: .9, weekend: .15, think: [2]float64{.8, 1},
			records: [2]float64{.8, 1.2}, noise: .03, errors: .12,
			things: 30_000, zipf: 1.1, busy: .2, intents: 10, internal: .9, tools: []tool{
				{"push_branch", "git", "send", "branch"}, {"read_file", "files", "read", "file"},
				{"search_code", "files", "read", "file"},
				{"list_folder", "files", "read", "folder"}, {"show_log", "git", "read", "commit"},
				{"show_diff", "git", "read", "commit"},
				{"run_tests", "shell", "exec", "job"}, {"run_lint", "shell", "exec", "job"},
				{"run_build", "shell", "exec", "job"},
				{"write_file", "files", "write", "file"}, {"apply_patch", "files", "write", "file"},
				{"commit", "git", "write", "commit"},
				{"create_branch", "git", "write", "branch"}, {"open_request", "forge", "write", "request"},
				{"comment_request", "forge", "write", "request"},
				{"read_issue", "forge", "read", "issue"}, {"search_docs", "docs", "read", "document"},
				{"install_package", "shell", "exec", "package"},
				{"delete_file", "files", "delete", "file"}, {"fetch_page", "web", "read", "page"}}},
		{name: "ops", agents: 20, sessions: 20, spread: .5, always: true, weekend: .9, think: [2]float64{.2, 1.3},
			records: [2]float64{1, 1.4}, pareto: 1.8, noise: .02, errors: .08,
			things: 3_000, zipf: 1.1, busy: .5, intents: 9, internal: .97, tools: []tool{
				{"post_status", "chat", "send", "message"}, {"get_metrics", "monitor", "read", "metric"},
				{"get_logs", "monitor", "read", "log"},
				{"list_pods", "cluster", "read", "pod"}, {"describe_pod", "cluster", "read", "pod"},
				{"list_alarms", "monitor", "read", "alarm"},
				{"get_alarm", "monitor", "read", "alarm"}, {"acknowledge", "monitor", "write", "alarm"},
				{"restart_service", "cluster", "exec", "service"},
				{"scale_service", "cluster", "exec", "service"}, {"run_command", "hosts", "exec", "host"},
				{"get_config", "config", "read", "config"},
				{"set_config", "config", "write", "config"}, {"list_hosts", "hosts", "read", "host"},
				{"read_host", "hosts", "read", "host"},
				{"page_oncall", "chat", "send", "message"}, {"rotate_log", "hosts", "write", "log"},
				{"delete_pod", "cluster", "delete", "pod"}}},
		{name: "research", agents: 25, sessions: 4, spread: 1.1, weekend: .2, think: [2]float64{1.6, 1.2},
			records: [2]float64{1.5, 1}, noise: .05, errors: .05,
			things: 400_000, zipf: 1.02, busy: .3, intents: 9, internal: .05, open: true, tools: []tool{
				{"fetch_page", "web", "read", "page"}, {"search_web", "web", "read", "result"},
				{"read_paper", "library", "read", "paper"},
				{"search_papers", "library", "read", "paper"}, {"extract_text", "library", "exec", "paper"},
				{"list_sources", "library", "read", "source"},
				{"save_note", "notes", "write", "note"}, {"read_note", "notes", "read", "note"},
				{"list_notes", "notes", "read", "note"},
				{"translate", "language", "exec", "text"}, {"summarize", "language", "exec", "text"},
				{"compare", "language", "exec", "text"},
				{"query_dataset", "library", "read", "dataset"}, {"download", "web", "read", "page"},
				{"mail_summary", "mail", "send", "message"},
				{"tag_note", "notes", "write", "note"}}},
	}
}

// step is one step of a workflow.
type step struct {
	tool   int
	do     float64 // probability of doing it at all
	again  float64 // probability of doing it once more
	back   float64 // probability of going back to step backTo after it
	backTo int
}

// workflow draws a workflow of a persona with so many tools. The first workflow of a persona ends
// with its first tool, which has a destination, so that every persona sends something.
func workflow(rng *rand.Rand, tools int, first bool) []step {
	list := make([]step, 4+rng.IntN(7))
	for j := range list {
		s := step{tool: rng.IntN(tools), do: 1}
		if rng.Float64() < .3 {
			s.do = .4 + .5*rng.Float64()
		}
		if rng.Float64() < .35 {
			s.again = .2 + .5*rng.Float64()
		}
		if j > 1 && rng.Float64() < .2 {
			s.back, s.backTo = .25, rng.IntN(j)
		}
		list[j] = s
	}
	if first {
		list[len(list)-1] = step{do: 1}
	}
	return list
}

// hours is the activity of a persona by the hour of the week, on average 1.
func (p *persona) hours() (w [168]float64) {
	sum := 0.0
	for h := range w {
		hour := float64(h % 24)
		v := .02 + math.Exp(-.5*math.Pow((hour-11)/2.2, 2)) + .9*math.Exp(-.5*math.Pow((hour-15.5)/2, 2))
		if p.always {
			v = 1 + .5*math.Sin((hour-9)/24*2*math.Pi)
		}
		if h >= 5*24 {
			v *= p.weekend
		}
		w[h] = v
		sum += v
	}
	for h := range w {
		w[h] *= 168 / sum
	}
	return w
}

// gamma draws from a gamma distribution with scale 1 (Marsaglia and Tsang 2000). It and poisson are
// not gonum's, since those draw in another order: the same seed must make the same stream for ever.
func gamma(rng *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(rng, shape+1) * math.Pow(rng.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(rng.Float64()) < .5*x*x+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// poisson draws from a Poisson distribution, normal above 30.
func poisson(rng *rand.Rand, mean float64) int {
	if mean > 30 {
		return max(0, int(mean+math.Sqrt(mean)*rng.NormFloat64()+.5))
	}
	limit, n := math.Exp(-mean), 0
	for p := rng.Float64(); p > limit; p *= rng.Float64() {
		n++
	}
	return n
}
