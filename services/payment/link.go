package payment

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"

	"basisdienste/platform/fault"
	"basisdienste/platform/id"
)

// links makes and reads the addresses of pay pages: /pay/{transaction}/{token}. The token
// names the tenant and proves, by 128 bits of HMAC-SHA256, that we gave the address out; who
// has it may see and pay this one transaction. Nothing is stored for it.
type links struct {
	base string // public URL without a slash at the end
	key  []byte
}

const (
	tenantBytes = 16
	proofBytes  = 16
)

func (l links) path(tenant, transaction id.ID) string {
	token := make([]byte, tenantBytes, tenantBytes+proofBytes)
	var digits [2 * tenantBytes]byte
	n := 0
	for i := range len(tenant) {
		if tenant[i] != '-' && n < len(digits) {
			digits[n] = tenant[i]
			n++
		}
	}
	// What is no tenant's id becomes a link to a page that is not there.
	_, _ = hex.Decode(token, digits[:n])
	token = append(token, l.proof(token, transaction)...)
	return "/pay/" + transaction.String() + "/" + base64.RawURLEncoding.EncodeToString(token)
}

func (l links) url(tenant, transaction id.ID) string { return l.base + l.path(tenant, transaction) }

func (l links) proof(tenant []byte, transaction id.ID) []byte {
	m := hmac.New(sha256.New, l.key)
	m.Write(tenant)
	m.Write([]byte(transaction))
	return m.Sum(nil)[:proofBytes]
}

// read returns whose transaction it is. Error: unknown_payment, the same for every mistake.
func (l links) read(transaction, token string) (tenant, tx id.ID, err error) {
	unknown := fault.NotFound("unknown_payment", "there is no payment at this address; use the link as it was sent")
	tx, err = id.Parse(transaction)
	if err != nil {
		return "", "", unknown
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != tenantBytes+proofBytes || !hmac.Equal(raw[tenantBytes:], l.proof(raw[:tenantBytes], tx)) {
		return "", "", unknown
	}
	text := hex.EncodeToString(raw[:tenantBytes])
	tenant, err = id.Parse(text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:])
	if err != nil {
		return "", "", unknown
	}
	return tenant, tx, nil
}
