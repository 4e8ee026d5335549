package catalogue

import (
	"strings"
	"testing"
)

// TestNamesSayWhatCallsDo holds names of many products and of none, as people write them. It is not
// the list that the verbs were made from: what is wrong here is mended by a better reading of
// words, not by a name.
func TestNamesSayWhatCallsDo(t *testing.T) {
	for class, names := range map[string]string{
		"read": `get_order getOrder GetOrder orders.get order-get mcp__shop__get_order shop.get_order Shop/GetOrder list_users users.list
			search_issues issues/search query_metrics find_customer_by_email check_availability read_text_file view_cart download_report
			get_payment payment.get getRefundStatus order_status refund_status payment_history weather_forecast list_deleted_files
			describe-instances show_calendar browse_web fetch slack_list_channels k8s.get_pods count_rows get_transfer_details
			get_send_history open_file open_url resolve_hostname list_files_to_delete search_in_files is_admin who_am_i
			user_exists customer_search bank_account_balance run_search HTTPGet preview_email get_user_by_id_or_email lookUp look_up_user
			exchange_rate sales_report verify_address list_pull_requests github.list_issues user_order_history check_send_status`,
		"write": `create_ticket ticket.create createTicket update_customer customer_update setName set_status add_comment modify_order reserve_table
			book_flight cancel_booking rename_file move_file edit_page save_draft update_password reset_password mark_read mark_as_read
			make_reservation schedule_meeting update_payment update_payment_method reply_to_ticket reply_to_comment upload_file revoke_access
			archive_thread subscribe add_user add_item_to_cart create_payment_link issue_update open_ticket
			close_issue check_in_passenger checkInGuest sign_up start_conversation git_checkout_branch assign_label create_payment_reminder
			change_seat return_item exchange_items order_pizza write_file insert_row createUser create_agent log_in`,
		"delete": `delete_user deleteUser users.delete user-delete mcp__fs__delete_file remove_item rm purge_queue drop_table bulk_delete_users
			wipe_device clear_cart trash_email order_remove s3:DeleteObject uninstall_app truncate_log truncateTable`,
		"send": `send_email email.send sendEmail send_message post_message chat.post slack_post_message share_document publish_post forward_mail
			invite_to_meeting notify_team reply reply_to_customer broadcast tweet send_sms make_call email_customer mail.send push_notification
			send_password_reset_email send_payment_reminder message_user call_customer transfer_file`,
		"exec": `run_command execute_code exec bash shell python eval run_sql execute_sql run_query invoke_function restart_service k8s.restart
			deploy_app ci.run start_server stop_instance kill_process code_interpreter python_repl reboot trigger_pipeline run_tests call_api
			install_package terminal shell_command invokeLambda scale_deployment roll_back_release`,
		"pay": `pay_invoice payInvoice make_payment create_payment send_money transfer_money transfer_funds wire_transfer refund_order create_refund
			issue_refund process_refund charge_card purchase_item buy_stock checkout place_order withdraw_cash bank.transfer stripe_refund_payment
			schedule_payment create_transfer initiate_transfer donate submit_payment stripe_create_charge transfer create_charge_for_customer
			run_payroll execute_trade`,
		"approve": `approve_request reject_request pr.approve authorize_payment deny_claim sign_contract accept_offer
			approveExpense`,
		"grant": `grant_access grantRole add_permission set_role update_permissions assign_role add_user_to_group add_member_to_team invite_user
			invite_user_to_workspace invite_member add_collaborator set_bucket_acl elevate_privileges transfer_ownership promote_user
			invite_to_channel add_person_to_channel update_user_role`,
		"delegate": `delegate_task assign_ticket assign_issue transfer_to_human transfer_to_agent transfer_call handoff hand_off hand_over_to_agent
			escalate escalate_to_human invoke_agent call_agent ask_agent spawn_subagent run_agent reassign_case transfer_to_department
			contact_human_agent`,
		"": `think foo x 42 customer product_review calendar git memory computer plan frobnicate call_it
			sequentialthinking accounts`,
	} {
		for name := range strings.FieldsSeq(names) {
			r := phraseOf(name, "").read()
			if got := r.class.String(); got != class {
				t.Errorf("%s: got %q (%s %s), want %q", name, got, r.verb, r.qualifier, class)
			}
		}
	}
}

func TestNamesSayWhatCallsTouch(t *testing.T) {
	for name, want := range map[string]string{
		"get_order_details": "order", "listUsers": "user", "ticket.read": "ticket",
		"update_customer_address": "address", "search_all_products": "product",
		"list_product_types": "product", "create_dir": "folder", "get_repository": "repo", "order_status": "order",
		"delete_repositories": "repo",
		"reply_to_ticket":     "ticket", "get_policies": "policy", "read": "", "get_boxes": "box", "close": "",
	} {
		r := phraseOf(name, "").read()
		if got := r.head(); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestAServersNameIsNoPartOfWhatIsDone(t *testing.T) {
	for _, c := range []struct{ name, server, want string }{
		{"git_star", "github", "write"}, {"mail_delete", "mail", "delete"}, {"order_list", "order", "read"},
		{"mail", "mail", "send"}, {"git_star", "", ""},
	} {
		r := phraseOf(c.name, c.server).read()
		if got := r.class.String(); got != c.want {
			t.Errorf("%s of %s: got %q, want %q", c.name, c.server, got, c.want)
		}
	}
}

func TestWordsOfANameAreBounded(t *testing.T) {
	r := phraseOf(strings.Repeat("a_", 10_000)+"delete", "").read()
	if r.class != 0 {
		t.Error(r)
	}
	for _, s := range []string{"", "__", "...", "mcp__", "-", "\xff", "_a", "a__b__c__d"} {
		r := phraseOf(s, s).read()
		_ = r.head()
	}
}
