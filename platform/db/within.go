package db

import (
	"errors"

	"basisdienste/platform/id"
)

var errNotSystem = errors.New("db: only a transaction under db.System can act for several tenants")

// For lets fn act for one tenant inside a transaction under System: Tenant returns it, and
// with it go outbox and audit. A registry uses it to change many tenants in one transaction.
// The database does not narrow what fn sees; its WHERE clauses do. Calls may not be nested.
func (tx *Tx) For(tenantID id.ID, fn func() error) error {
	if !tx.scope.all || tx.scope.tenant != "" {
		return errNotSystem
	}
	tx.scope.tenant = tenantID
	defer func() { tx.scope.tenant = "" }()
	return fn()
}
