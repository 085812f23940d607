package notify

import "basisdienste/platform/web"

// texts of the mailbox: German, English.
func texts() web.Texts {
	return web.Texts{
		"service":                     {"Postfach", "Mailbox"},
		"mailbox.title":               {"Ihr Postfach", "Your mailbox"},
		"mailbox.lead":                {"Hier finden Sie Nachrichten, die wir Ihnen geschickt haben.", "Here you find the messages that we have sent you."},
		"mailbox.caption":             {"Nachrichten, die neueste zuerst", "Messages, the newest first"},
		"mailbox.subject":             {"Betreff", "Subject"},
		"mailbox.received":            {"Eingegangen", "Received"},
		"mailbox.state":               {"Stand", "State"},
		"mailbox.new":                 {"neu", "new"},
		"mailbox.read":                {"gelesen", "read"},
		"mailbox.older":               {"Ältere Nachrichten", "Older messages"},
		"mailbox.newest":              {"Zu den neuesten Nachrichten", "Back to the newest messages"},
		"mailbox.empty.title":         {"Keine Nachrichten", "No messages"},
		"mailbox.empty.body":          {"Sobald wir Ihnen etwas schicken, steht es hier.", "As soon as we send you something, it will be here."},
		"mailbox.kept":                {"Nachrichten bleiben %d Tage in Ihrem Postfach. Danach werden sie gelöscht.", "Messages stay in your mailbox for %d days. Then they are deleted."},
		"message.from":                {"Von %s", "From %s"},
		"message.received":            {"Eingegangen am %s", "Received on %s"},
		"error.unknown_message.title": {"Diese Nachricht gibt es nicht", "There is no such message"},
		"error.unknown_message":       {"Die Nachricht gehört nicht zu Ihrem Postfach, oder sie wurde schon gelöscht.", "The message is not in your mailbox, or it has been deleted already."},
	}
}
