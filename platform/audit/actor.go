package audit

import "context"

type actorKey struct{}

// WithActor notes who acts: a pseudonymous id with its kind, such as "staff:0192…", never a
// name or an address. The guards of authn do this.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// Actor returns who acts, and "" for nobody: our own jobs and event handlers, or the public.
func Actor(ctx context.Context) string {
	a, _ := ctx.Value(actorKey{}).(string)
	return a
}
