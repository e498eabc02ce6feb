package secrets

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hearthfaas/hearth/internal/hearth"
	"github.com/hearthfaas/hearth/internal/record"
	"golang.org/x/crypto/chacha20poly1305"
)

// keyFile is the file of the key in the state directory.
const keyFile = "secret-key"

// A Key seals and opens secrets.
type Key struct {
	secret []byte
	id     string // names it, and tells nothing of it
}

// What a sealed value begins with: how it is sealed. One of the form 1 has no
// version, and counts as the oldest there is.
const (
	sealedForm      = "2"
	unversionedForm = "1"
)

// LoadKey reads the key of a state directory, and makes one first if there is none.
func LoadKey(state string) (Key, error) {
	path := filepath.Join(state, keyFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret := make([]byte, chacha20poly1305.KeySize)
		_, _ = rand.Read(secret) // it never fails
		text = []byte(base64.StdEncoding.EncodeToString(secret) + "\n")
		if err = os.WriteFile(path+".new", text, 0o600); err == nil { // a crash leaves no half one
			err = errors.Join(os.Rename(path+".new", path), syncDir(state))
		}
	}
	if err != nil {
		return Key{}, fmt.Errorf("the key of the secrets: %w", err)
	}
	secret, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != chacha20poly1305.KeySize {
		return Key{}, hearth.Errorf(hearth.Invalid,
			"the file %s is not a key: put back the one that sealed the secrets, or remove it and make "+
				"the secrets anew", path)
	}
	sum := sha256.Sum256(append([]byte("the name of a hearth's key: "), secret...))
	return Key{secret, hex.EncodeToString(sum[:6])}, nil
}

// Records is the key that signs what else is kept in Redis.
func (k Key) Records() record.Key { return record.NewKey(k.secret) }

// seal seals a version of a secret's value. It is text: form, key, version, nonce and ciphertext.
func (k Key) seal(name string, version int64, value []byte) string {
	aead, _ := chacha20poly1305.NewX(k.secret) // the key has the right size
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(value)+aead.Overhead())
	_, _ = rand.Read(nonce)
	text := strconv.FormatInt(version, 10)
	return sealedForm + "." + k.id + "." + text + "." +
		base64.RawStdEncoding.EncodeToString(aead.Seal(nonce, nonce, value, bound(name, text)))
}

// bound is what a value is sealed together with. Names have no space.
func bound(name, version string) []byte { return []byte(name + " " + version) }

// open opens what seal has made of the secret of that name.
func (k Key) open(name, sealed string) (value []byte, version int64, err error) {
	form, rest, _ := strings.Cut(sealed, ".")
	id, text, _ := strings.Cut(rest, ".")
	with := []byte(name)
	switch {
	case form != sealedForm && form != unversionedForm:
		return nil, 0, errors.New("it is sealed in a way that this version does not know")
	case id != k.id:
		return nil, 0, record.ErrOtherKey
	case form == sealedForm:
		var number string
		number, text, _ = strings.Cut(text, ".")
		if version, err = strconv.ParseInt(number, 10, 64); err != nil {
			return nil, 0, errors.New("it is damaged")
		}
		with = bound(name, number)
	}
	box, err := base64.RawStdEncoding.DecodeString(text)
	aead, _ := chacha20poly1305.NewX(k.secret)
	if err != nil || len(box) < aead.NonceSize() {
		return nil, 0, errors.New("it is damaged")
	}
	if value, err = aead.Open(nil, box[:aead.NonceSize()], box[aead.NonceSize():], with); err != nil {
		return nil, 0, errors.New("it was changed, or is another secret's")
	}
	return value, version, nil
}
