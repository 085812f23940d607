package stripeapi

// Shown is what a pay page would show of a session.
type Shown struct {
	Session  string
	Account  string // "" is the platform
	Amount   int64  // cents
	Text     string // of the PaymentIntent
	Status   string // open, complete, expired
	Intent   string // of its PaymentIntent; "" before the first try
	Declined string // what the payer is told of the last try
	Debit    bool   // takes SEPA debits
	Success  string // where the browser goes after the payment
	Cancel   string // and without one
}

// All lists the sessions, the newest first.
func (s *Server) All() (list []Shown) {
	ids := s.Sessions()
	for i := len(ids) - 1; i >= 0; i-- {
		if shown, err := s.Show(ids[i]); err == nil {
			list = append(list, shown)
		}
	}
	return list
}

// Show returns a session as its payer sees it; an error if there is none.
func (s *Server) Show(sessionID string) (Shown, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cs := range s.sessions {
		if cs.id != sessionID {
			continue
		}
		s.lapse(cs)
		shown := Shown{Session: cs.id, Account: cs.account, Amount: cs.amount, Text: cs.description, Status: cs.status, Success: cs.success, Cancel: cs.cancel}
		for _, m := range cs.methods {
			shown.Debit = shown.Debit || m == "sepa_debit"
		}
		if in := cs.intent; in != nil {
			shown.Intent = in.status
			shown.Declined, _ = in.lastError["message"].(string)
		}
		return shown, nil
	}
	return Shown{}, missing("checkout.session", sessionID)
}
