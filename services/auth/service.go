package auth

import (
	"crypto/sha256"
	"errors"
	"log/slog"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"basisdienste/platform/authn"
	"basisdienste/platform/db"
	"basisdienste/platform/page"
	"basisdienste/platform/tenantdir"
	"basisdienste/platform/web"
)

// Deps is what a Service needs; all of it.
type Deps struct {
	DB         *db.DB
	Dir        *tenantdir.Dir
	Log        *slog.Logger
	Clock      func() time.Time
	BaseURL    string
	Config     Config
	Demo       bool   // pages say that nothing on them is real
	Master     []byte // secret from which all keys of this service are made
	ServiceKey []byte // secret from which the clients of services and pages are derived
}

// Service is the use cases of auth. It is safe for concurrent use.
type Service struct {
	db         *db.DB
	dir        *tenantdir.Dir
	log        *slog.Logger
	clock      func() time.Time
	baseURL    string
	cfg        Config
	demo       bool
	secrets    secrets
	serviceKey []byte
	cursors    page.Signer

	keys      *keyStore
	passwords *passwords
	proofs    *authn.Proofs
	site      *web.Site // set by pages
	providers []Provider

	clients     *lru.Cache[string, cachedClient]
	verified    *lru.Cache[[sha256.Size]byte, verifiedToken]
	revocations *lru.Cache[string, revocation]
}

const cacheSize = 8192

// NewService checks the dependencies.
func NewService(d Deps) (*Service, error) {
	if d.DB == nil || d.Dir == nil || d.Log == nil || d.Clock == nil || len(d.Master) == 0 || len(d.ServiceKey) == 0 {
		return nil, errors.New("auth: a dependency is missing")
	}
	s := &Service{
		db: d.DB, dir: d.Dir, log: d.Log, clock: d.Clock, baseURL: strings.TrimSuffix(d.BaseURL, "/"), cfg: d.Config, demo: d.Demo, serviceKey: d.ServiceKey,
	}
	var errs [6]error
	s.secrets, errs[0] = newSecrets(d.Master)
	s.cursors, s.proofs = page.NewSigner(s.secrets.cursor), authn.NewProofs(d.Clock)
	s.keys, errs[1] = newKeyStore(d.DB, s.secrets, d.Clock, d.Config.KeyLead, max(d.Config.ClientToken, d.Config.LoginToken)+keyLeeway)
	s.passwords, errs[2] = newPasswords()
	s.clients, errs[3] = lru.New[string, cachedClient](cacheSize)
	s.verified, errs[4] = lru.New[[sha256.Size]byte, verifiedToken](cacheSize)
	s.revocations, errs[5] = lru.New[string, revocation](cacheSize)
	return s, errors.Join(errs[:]...)
}

// keyLeeway is how long verifiers' clocks may be behind ours.
const keyLeeway = time.Minute

// secure reports whether the pages are reached by https.
func (s *Service) secure() bool { return strings.HasPrefix(s.baseURL, "https://") }
