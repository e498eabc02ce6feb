package record

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// What can be wrong with a record. The texts are for operators.
var (
	// ErrUnsigned is the error of a record without a MAC: of a version of Hearth
	// before it had any, or by somebody else.
	ErrUnsigned = errors.New("it is not signed")
	// ErrOtherKey is the error of a record that was signed with another key.
	ErrOtherKey = errors.New("it is signed with another secret-key")
	// ErrForged is the error of a record whose MAC does not fit: it was changed, or belongs elsewhere.
	ErrForged = errors.New("its signature does not fit: it was changed, or moved here from another place")
)

// idLength and macLength are in bytes.
const (
	idLength  = 6
	macLength = sha256.Size
)

// A Key signs records. The zero Key signs nothing, and finds fault with everything.
type Key struct {
	mac, users []byte
	id         [idLength]byte // names the key, and tells nothing of it
}

// NewKey derives a key from the secret that instances share.
func NewKey(secret []byte) Key {
	k := Key{mac: derive(secret, "hearth: MAC of records"),
		users: derive(secret, "hearth: passwords of Redis users")}
	copy(k.id[:], derive(secret, "hearth: name of the key of records"))
	return k
}

func derive(secret []byte, label string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, label, sha256.Size)
	if err != nil {
		panic(err) // only a length that HKDF cannot give
	}
	return key
}

// ID names the key, in 12 hexadecimal digits.
func (k Key) ID() string { return hex.EncodeToString(k.id[:]) }

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.mac == nil }

// Password is that of a user of Redis. It is the same each time, so that a user
// who was lost can be made again.
func (k Key) Password(user string) string {
	sum := hmac.New(sha256.New, k.users)
	sum.Write([]byte(user))
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil))
}

// sum is the MAC of a record at a place. Lengths precede the parts, so that no two places look alike.
func (k Key) sum(key, field string, content []byte) []byte {
	sum := hmac.New(sha256.New, k.mac)
	for _, part := range [][]byte{[]byte(key), []byte(field), content} {
		_ = binary.Write(sum, binary.BigEndian, uint64(len(part)))
		sum.Write(part)
	}
	return sum.Sum(nil)
}

// The form of a signed JSON record: the object's last member is the MAC. Versions without MACs read it too,
// as they ignore members that they do not know.
const (
	macMember  = `,"mac":"`
	macEnd     = `"}`
	jsonSuffix = len(macMember) + 2*idLength + 1 + 43 + len(macEnd) // 43: macLength in base64
)

// SignJSON signs a record that is a JSON object with at least one member. It is a JSON object still.
func (k Key) SignJSON(key, field string, object []byte) []byte {
	text := append(bytes.Clone(object[:len(object)-1]), macMember...)
	text = append(append(text, k.ID()...), '.')
	text = base64.RawURLEncoding.AppendEncode(text, k.sum(key, field, object))
	return append(text, macEnd...)
}

// OpenJSON returns the object that SignJSON was given, or one of this package's errors.
func (k Key) OpenJSON(key, field string, text []byte) ([]byte, error) {
	cut := len(text) - jsonSuffix
	if cut < 1 || !bytes.HasPrefix(text[cut:], []byte(macMember)) || !bytes.HasSuffix(text, []byte(macEnd)) {
		return nil, ErrUnsigned
	}
	id, mac, _ := bytes.Cut(text[cut+len(macMember):len(text)-len(macEnd)], []byte("."))
	if k.IsZero() || string(id) != k.ID() {
		return nil, ErrOtherKey
	}
	object := append(bytes.Clone(text[:cut]), '}')
	sum, err := base64.RawURLEncoding.Strict().AppendDecode(nil, mac)
	if err != nil || !hmac.Equal(sum, k.sum(key, field, object)) {
		return nil, ErrForged
	}
	return object, nil
}

// UnsignedJSON is a record without its MAC, whatever that is worth.
func UnsignedJSON(text []byte) []byte {
	cut := len(text) - jsonSuffix
	if cut < 1 || !bytes.HasPrefix(text[cut:], []byte(macMember)) || !bytes.HasSuffix(text, []byte(macEnd)) {
		return text
	}
	return append(bytes.Clone(text[:cut]), '}')
}

// signedBytes is the first byte of a signed record that is no JSON. Nothing that
// was kept without a MAC begins so.
const signedBytes = 2

// Sign signs a record of any bytes.
func (k Key) Sign(key, field string, content []byte) []byte {
	b := append([]byte{signedBytes}, k.id[:]...)
	return append(append(b, k.sum(key, field, content)...), content...)
}

// Open returns the content that Sign was given, or one of this package's errors.
func (k Key) Open(key, field string, b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] != signedBytes {
		return nil, ErrUnsigned
	}
	if len(b) < 1+idLength+macLength {
		return nil, ErrForged
	}
	id, mac, content := b[1:1+idLength], b[1+idLength:1+idLength+macLength], b[1+idLength+macLength:]
	if k.IsZero() || !bytes.Equal(id, k.id[:]) {
		return nil, ErrOtherKey
	}
	if !hmac.Equal(mac, k.sum(key, field, content)) {
		return nil, ErrForged
	}
	return content, nil
}
