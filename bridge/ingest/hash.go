package ingest

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// hash is a stored password.
type hash interface {
	matches(password []byte) bool
	cost() string // equal for hashes that take equally long
	dummy() hash  // of the same cost, that no password matches
}

// parseHash reads a bcrypt hash ($2a$, $2b$, $2y$), or an argon2id one as a PHC string ($argon2id$v=19$m=…,t=…,p=…$salt$hash,
// RFC 9106).
func parseHash(text string) (hash, error) {
	if strings.HasPrefix(text, "$argon2id$") {
		return parseArgon(text)
	}
	switch cost, err := bcrypt.Cost([]byte(text)); {
	case err != nil:
		return nil, errors.New("neither bcrypt nor argon2id")
	case cost > maxBcryptCost:
		return nil, fmt.Errorf("bcrypt: cost %d takes minutes at each login, allowed is up to %d", cost, maxBcryptCost)
	}
	return bcryptHash{text}, nil
}

type bcryptHash struct{ text string }

func (h bcryptHash) matches(password []byte) bool {
	return bcrypt.CompareHashAndPassword([]byte(h.text), password) == nil
}

func (h bcryptHash) cost() string { return h.text[:7] }

func (h bcryptHash) dummy() hash {
	return bcryptHash{"$2a$" + h.text[4:7] + strings.Repeat(".", 53)}
}

// Bounds of parameters: what one login may cost.
const (
	maxBcryptCost  = 16        // some seconds
	maxArgonMemory = 128 << 10 // KiB
	maxArgonTime   = 16
	maxArgonLanes  = 16
	minArgonMemory = 8 << 10
)

type argonHash struct {
	memory, time uint32
	lanes        uint8
	salt, sum    []byte
	never        bool
}

func parseArgon(text string) (hash, error) {
	parts := strings.Split(text, "$")
	var h argonHash
	if len(parts) != 6 || parts[2] != "v=19" {
		return nil, errors.New("argon2id: want $argon2id$v=19$m=…,t=…,p=…$salt$hash")
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.lanes); err != nil || n != 3 ||
		parts[3] != fmt.Sprintf("m=%d,t=%d,p=%d", h.memory, h.time, h.lanes) {
		return nil, errors.New("argon2id: want m=…,t=…,p=…")
	}
	if h.memory < minArgonMemory || h.memory > maxArgonMemory || h.time < 1 || h.time > maxArgonTime || h.lanes < 1 || h.lanes > maxArgonLanes {
		return nil, fmt.Errorf("argon2id: allowed are m=%d to %d, t=1 to %d, p=1 to %d", minArgonMemory, maxArgonMemory, maxArgonTime, maxArgonLanes)
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return nil, errors.New("argon2id: want a salt of 8 to 64 bytes in base64 without padding")
	}
	if h.sum, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(h.sum) < 16 || len(h.sum) > 64 {
		return nil, errors.New("argon2id: want a hash of 16 to 64 bytes in base64 without padding")
	}
	return h, nil
}

func (h argonHash) matches(password []byte) bool {
	sum := argon2.IDKey(password, h.salt, h.time, h.memory, h.lanes, uint32(len(h.sum)))
	return subtle.ConstantTimeCompare(sum, h.sum) == 1 && !h.never
}

func (h argonHash) cost() string { return fmt.Sprintf("argon2id %d %d %d", h.memory, h.time, h.lanes) }

func (h argonHash) dummy() hash {
	h.never = true
	return h
}
