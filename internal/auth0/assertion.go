package auth0

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// assertionLife is how long one assertion may be used; each is used once, at once.
const assertionLife = time.Minute

// signer makes client assertions (private_key_jwt). The SDK's leave client_id out of the request, and their clock cannot be
// set; three lines of JSON and a signature need no library.
type signer struct {
	alg  string
	sign func(input []byte) ([]byte, error)
}

func newSigner(keyPEM []byte) (*signer, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("it is not in PEM")
	}
	key, err := parseKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return &signer{alg: "RS256", sign: func(input []byte) ([]byte, error) {
			sum := sha256.Sum256(input)
			return rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		}}, nil
	case *ecdsa.PrivateKey:
		switch bits := key.Curve.Params().BitSize; bits {
		case 256:
			return &signer{alg: "ES256", sign: func(input []byte) ([]byte, error) {
				sum := sha256.Sum256(input)
				return signEC(key, sum[:], 32)
			}}, nil
		case 384:
			return &signer{alg: "ES384", sign: func(input []byte) ([]byte, error) {
				sum := sha512.Sum384(input)
				return signEC(key, sum[:], 48)
			}}, nil
		}
	}
	return nil, errors.New("it is neither an RSA key nor an EC key on P-256 or P-384")
}

func parseKey(der []byte) (any, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	// The parsers' own errors may quote what they read.
	return nil, errors.New("it is not a private key in PKCS #8, PKCS #1 or SEC 1, without a passphrase")
}

// signEC signs in the form that JWTs use: both numbers with leading zeros, size bytes each.
func signEC(key *ecdsa.PrivateKey, sum []byte, size int) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, sum)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out, nil
}

// assertion says that clientID is who asks audience, now.
func (s *signer) assertion(clientID, audience string, now time.Time) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": s.alg, "typ": "JWT"})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"iss": clientID,
		"sub": clientID,
		"aud": audience,
		"iat": now.Unix(),
		"exp": now.Add(assertionLife).Unix(),
		"jti": rand.Text(),
	})
	if err != nil {
		return "", err
	}
	enc := base64.RawURLEncoding
	input := enc.EncodeToString(header) + "." + enc.EncodeToString(claims)
	signature, err := s.sign([]byte(input))
	if err != nil {
		return "", fmt.Errorf("sign the client assertion: %w", err)
	}
	return input + "." + enc.EncodeToString(signature), nil
}
