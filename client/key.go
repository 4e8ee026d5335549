package client

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
)

// KeyEnv names the variable that holds the file of the private key, if no flag does.
const KeyEnv = "WAYWARD_KEY_FILE"

// ReadKey reads an Ed25519 private key, PKCS #8 in PEM. Like ssh it refuses a file that others may
// read.
func ReadKey(name string) (ed25519.PrivateKey, error) {
	if name == "" {
		return nil, fmt.Errorf("no private key: name its file with --key or $%s; wayward breaker keygen makes one",
			KeyEnv)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("key: %w; wayward breaker keygen makes one", err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("key: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("key %s: not a regular file", name)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf(
			"key %s: others may read it (%v); run chmod 600 %s, and make a new key if somebody may have", name,
			info.Mode().Perm(), name)
	}
	text, err := io.ReadAll(io.LimitReader(file, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", name, err)
	}
	const want = "want an Ed25519 private key as PKCS #8 in PEM, as wayward breaker keygen and openssl genpkey -algorithm ed25519 make them"
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("key %s: %s", name, want)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(ed25519.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("key %s: %s", name, want)
	}
	return key, nil
}

// NewKey makes a private key and writes it to a file that only its owner can read. A file that is
// there already stays as it is: that is an error.
func NewKey(name string) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%s is there already: name another file with --out", name)
	} else if err != nil {
		return nil, err
	}
	return public, errors.Join(pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der}), f.Sync(), f.Close())
}
