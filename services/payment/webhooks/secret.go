package webhooks

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"basisdienste/platform/db"
	"basisdienste/platform/id"
)

// secretPrefix marks a secret of HMAC-SHA256 (Standard Webhooks 1.0.0, "Signature scheme"),
// whose 24 to 64 bytes follow in base64; ours have 32.
const (
	secretPrefix = "whsec_"
	secretBytes  = 32
)

func newSecret() string {
	b := make([]byte, secretBytes)
	rand.Read(b) // never fails since Go 1.24
	return secretPrefix + base64.StdEncoding.EncodeToString(b)
}

// vault seals secrets with AES-256-GCM and a random nonce. A sealed secret can be opened for
// its tenant and endpoint alone. It is safe for concurrent use.
type vault struct{ aead cipher.AEAD }

// newVault takes the installation's key of 32 bytes.
func newVault(key []byte) (vault, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return vault{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return vault{aead}, err
}

func (v vault) seal(tenant, endpoint id.ID, secret string) []byte {
	return v.aead.Seal(nil, nil, []byte(secret), []byte(tenant+"/"+endpoint)) //nolint:gosec // the nonce is random and part of the result
}

func (v vault) open(tenant, endpoint id.ID, sealed []byte) (string, error) {
	plain, err := v.aead.Open(nil, nil, sealed, []byte(tenant+"/"+endpoint))
	if err != nil {
		return "", fmt.Errorf("open the secret of webhook %s: %w; is it the key that it was sealed with?", endpoint, err)
	}
	return string(plain), nil
}

// message is the body of a delivery: the same bytes at each try.
func message(d *Delivery, base, slug string) ([]byte, error) {
	data := d.Data
	if d.TransactionID != "" {
		address, err := json.Marshal(base + "/t/" + slug + "/payment/v1/transactions/" + d.TransactionID.String())
		if err != nil {
			return nil, err
		}
		data = strings.TrimSuffix(data, "}") + `,"url":` + string(address) + `}`
	}
	return json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp db.Time         `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{d.Type, d.At, json.RawMessage(data)})
}

// sign sets the headers of one try at now: Standard Webhooks 1.0.0, "Webhook headers". There is
// a signature for each secret.
func sign(h http.Header, secrets []string, message id.ID, now time.Time, body []byte) error {
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		key, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return err
		}
		if signatures[i], err = key.Sign(message.String(), now, body); err != nil {
			return err
		}
	}
	h.Set(standardwebhooks.HeaderWebhookID, message.String())
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	return nil
}
