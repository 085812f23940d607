package main

// layer is the place of one platform package. It may import every package of a lower level
// and, of its own level, only those that beside names.
type layer struct {
	level  int
	beside []string
}

// layers is the table of DESIGN, section 4. A new platform package gets its line here; a
// new name in beside wants a reason, for it is how a platform turns into a knot.
func layers() map[string]layer {
	return map[string]layer{
		"fault":  {0, nil},
		"id":     {0, []string{"fault"}},
		"money":  {0, []string{"fault"}},
		"page":   {0, []string{"fault"}},
		"tenant": {0, []string{"fault", "id"}},

		"textbrowser": {0, nil}, // programs that use our pages as people do
		"pgserver":    {0, nil}, // programs that run a PostgreSQL of their own

		"certs":   {1, nil},
		"config":  {1, nil},
		"obs":     {1, []string{"problem"}}, // answers a panic
		"problem": {1, nil},
		"db":      {1, []string{"obs"}}, // transactions are part of traces
		"seal":    {1, []string{"db"}},

		"audit":         {2, nil},
		"limit":         {2, nil},
		"outbox":        {2, nil},
		"discover":      {2, nil},
		"idem":          {2, []string{"audit"}},                          // who asked is part of the key
		"kit":           {2, []string{"idem"}},                           // the request's key goes into the context
		"bus":           {2, []string{"outbox", "bus/jetstream", "kit"}}, // relays the outbox, handles through the inbox; dead letters have routes
		"bus/jetstream": {2, nil},
		"tenantdir":     {2, []string{"outbox", "bus"}},                                          // is fed by events
		"authn":         {2, []string{"audit", "kit", "discover", "outbox", "bus", "tenantdir"}}, // is a guard of kit; finds keys; grants are fed by events
		"web":           {2, []string{"kit", "authn"}},                                           // pages are routes; who is logged in

		"login": {2, []string{"authn", "discover", "kit", "web"}}, // pages for who is logged in

		"run": {3, nil},
	}
}

// below lists the packages that their own service builds on: they know neither it nor any
// outside system or standard. Everything else in a service's folder is an adapter on top of it.
func below() []string { return []string{"services/payment/ledger", "services/payment/settlement"} }
