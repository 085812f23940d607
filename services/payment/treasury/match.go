package treasury

import (
	"strings"

	"basisdienste/services/payment"
)

// outcome of a movement: what it was matched with, or why not.
type outcome string

const (
	open           outcome = "open" // nobody has looked yet
	matched        outcome = "matched"
	paidOut        outcome = "settlement"      // is what a provider paid out
	unknown        outcome = "unknown"         // names no claim of ours
	ambiguous      outcome = "ambiguous"       // names several
	amountDiffers  outcome = "amount_differs"  // names an open claim of another amount
	alreadyPaid    outcome = "already_paid"    // names a claim that was paid before
	claimEnded     outcome = "claim_ended"     // names a claim that expired, failed or was canceled
	reportedBefore outcome = "reported_before" // the other kind of file has told of this money
	debit          outcome = "debit"           // went out
	reversal       outcome = "reversal"        // takes a debit back
	pending        outcome = "pending"         // is not booked yet
)

const (
	shortest = 5 // characters of a Kassenzeichen that is looked for
	longest  = 36
	maxWords = 64 // of one movement
)

// words lists what may be a Kassenzeichen in the texts, each once.
func words(texts ...string) []string {
	var found []string
	seen := map[string]bool{}
	add := func(text string) {
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !inWord(r) }) {
			if len(word) >= shortest && len(word) <= longest && strings.ContainsAny(word, "0123456789") && !seen[word] && len(found) < maxWords {
				seen[word] = true
				found = append(found, word)
			}
		}
	}
	for _, text := range texts {
		add(text)
		if rest, structured := strings.CutPrefix(text, "RF"); structured && len(rest) > 2 { // ISO 11649: RF and two check digits
			add(rest[2:])
		}
		if strings.Contains(text, "\n") {
			add(strings.ReplaceAll(text, "\n", ""))
		}
	}
	return found
}

func inWord(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_'
}

// named returns the claim that the words name, or why there is none.
func named(words []string, claims map[string]payment.Claim) (payment.Claim, outcome) {
	var found []payment.Claim
	for _, w := range words {
		if c, ok := claims[w]; ok {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return payment.Claim{}, unknown
	case 1:
		return found[0], open
	}
	return payment.Claim{}, ambiguous
}

// found reports whether it is known what the money is for.
func (o outcome) found() bool { return o == matched || o == paidOut }

// became says what money for a claim came to that had the state before.
func became(state payment.State, did payment.Transferred) (is outcome, surplus bool) {
	switch {
	case did == payment.TransferPaid:
		return matched, false
	case state == payment.Initial && did == payment.TransferDiffers:
		return amountDiffers, false
	case state == payment.Payed:
		return alreadyPaid, did == payment.TransferSurplus
	}
	return claimEnded, did == payment.TransferSurplus
}
