package httpapi

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificate reads the certificate and its key.
func (s *Server) certificate() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(s.opts.CertFile, s.opts.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read TLS certificate %s with key %s: %w", s.opts.CertFile, s.opts.KeyFile, err)
	}
	return &c, nil
}

// tlsConfig serves the certificate of the files, read again when they change,
// so that a renewal needs no restart.
func (s *Server) tlsConfig() *tls.Config {
	var mu sync.Mutex
	var current *tls.Certificate
	var stamp time.Time
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			mu.Lock()
			defer mu.Unlock()
			info, err := os.Stat(s.opts.CertFile)
			if current != nil && (err != nil || info.ModTime().Equal(stamp)) {
				return current, nil
			}
			next, err := s.certificate()
			if err != nil {
				if current != nil {
					s.log.Error("renewed certificate not used", "err", err)
					return current, nil
				}
				return nil, err
			}
			current = next
			if info != nil {
				stamp = info.ModTime()
			}
			return current, nil
		},
	}
}
