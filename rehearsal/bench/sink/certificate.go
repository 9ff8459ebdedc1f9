package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// certificateLifetime is short: the pair is made anew for each bench run.
const certificateLifetime = 7 * 24 * time.Hour

// makeCertificates writes ca.pem, certificate.pem and key.pem into directory: a private CA and a P-256
// certificate for name, the key type that Google's servers present.
func makeCertificates(directory, name string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	// An hour back, for a host whose clock is a little behind.
	start := time.Now().Add(-time.Hour)
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(start.UnixNano()),
		Subject:               pkix.Name{CommonName: "mailstack bench CA"},
		NotBefore:             start,
		NotAfter:              start.Add(certificateLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(start.UnixNano() + 1),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    start,
		NotAfter:     start.Add(certificateLifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	files := []struct {
		name, block string
		der         []byte
		mode        os.FileMode
	}{
		{"ca.pem", "CERTIFICATE", caDER, 0o644},
		{"certificate.pem", "CERTIFICATE", leafDER, 0o644},
		{"key.pem", "PRIVATE KEY", keyDER, 0o600},
	}
	for _, file := range files {
		encoded := pem.EncodeToMemory(&pem.Block{Type: file.block, Bytes: file.der})
		path := filepath.Join(directory, file.name)
		if err := os.WriteFile(path, encoded, file.mode); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}
