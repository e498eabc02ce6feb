package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// A certificate is the gateway's, from two files. They are read again when they change, so a renewal needs
// no restart. If the new pair is unusable, that is logged once and the previous pair stays in use: a
// renewal writes the files one after the other.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]os.FileInfo // the files as last read
}

// loadCertificate reads both files. Its error names the file that is wrong.
func loadCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log}
	c.seen = c.look()
	var err error
	if c.current, err = readPair(certFile, keyFile); err != nil {
		return nil, err
	}
	if end := c.current.Leaf.NotAfter; time.Now().After(end) {
		log.Warn("the certificate has expired; clients will reject it until it is renewed", "file",
			certFile, "ended", end)
	}
	return c, nil
}

// get returns the certificate for a handshake. Two stat calls cost little beside its signature.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.look()
	if sameFile(now[0], c.seen[0]) && sameFile(now[1], c.seen[1]) {
		return c.current, nil
	}
	c.seen = now
	next, err := readPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.Error("the new certificate is unusable; the previous one stays in use", "error", err)
		return c.current, nil
	}
	c.current = next
	c.log.Info("loaded new certificate", "file", c.certFile, "ends", next.Leaf.NotAfter)
	return c.current, nil
}

// look returns the state of both files, nil for a missing one.
func (c *certificate) look() (now [2]os.FileInfo) {
	for i, name := range []string{c.certFile, c.keyFile} {
		now[i], _ = os.Stat(name)
	}
	return now
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// serverConfig returns the TLS configuration of servers, or nil without a
// certificate. net/http negotiates HTTP/2.
func (c *certificate) serverConfig() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: c.get}
}

// host returns the host and port by which clients reach an address with this certificate: the address if the
// certificate covers it, else the certificate's first name.
func (c *certificate) host(address net.Addr) string {
	ip, port, err := net.SplitHostPort(address.String())
	c.mu.Lock()
	leaf := c.current.Leaf
	c.mu.Unlock()
	if err != nil || leaf.VerifyHostname(ip) == nil {
		return address.String()
	}
	for _, name := range leaf.DNSNames {
		if !strings.HasPrefix(name, "*") {
			return net.JoinHostPort(name, port)
		}
	}
	return address.String()
}

// covers reports whether the certificate is valid for a name.
func (c *certificate) covers(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current.Leaf.VerifyHostname(name) == nil
}

// client returns a client for calls of this instance to itself. It trusts exactly
// this certificate, whatever names it covers.
func (c *certificate) client(address net.Addr) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address.String())
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true,
			VerifyConnection: func(s tls.ConnectionState) error {
				c.mu.Lock()
				defer c.mu.Unlock()
				if !bytes.Equal(s.PeerCertificates[0].Raw, c.current.Certificate[0]) {
					return errors.New("another server answers there")
				}
				return nil
			}},
	}}
}

// readPair reads a certificate and its key.
func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("--tls-key: %w", err)
	}
	if !hasBlock(cert, "CERTIFICATE") {
		return nil, fmt.Errorf("--tls-cert: there is no certificate in %s; want PEM with the server's "+
			"certificate first, then its chain (certbot's fullchain.pem)", certFile)
	}
	if bytes.Contains(key, []byte("ENCRYPTED")) { // in the block's type or in a header
		return nil, fmt.Errorf("--tls-key: the key in %s has a passphrase; remove it with openssl pkey",
			keyFile)
	}
	if !hasBlock(key, "PRIVATE KEY") {
		return nil, fmt.Errorf("--tls-key: there is no private key in %s; want PEM (certbot's privkey.pem)",
			keyFile)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s and --tls-key %s do not match: %w",
			certFile, keyFile, err)
	}
	return &pair, nil
}

// hasBlock reports whether PEM text has a block whose type ends in kind: RSA PRIVATE KEY for PRIVATE KEY.
func hasBlock(text []byte, kind string) bool {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return false
		}
		if strings.HasSuffix(block.Type, kind) {
			return true
		}
		text = rest
	}
}
