package config

import (
	"errors"
	"fmt"
	"strings"
)

// problem is a setting that cannot work, and its mend.
type problem struct{ key, text string }

// places tells where settings and groups were given: "FILE:LINE", a variable or a flag. The key "" holds the file's name.
type places map[string]string

// join makes one error of all problems, each with its place; nil of none.
func (p places) join(all []problem) error {
	var bad []error
	for _, one := range all {
		where := p.of(one.key)
		if where != "" {
			where += ": "
		}
		bad = append(bad, fmt.Errorf("%w: %s%s: %s", ErrConfig, where, one.key, one.text))
	}
	return errors.Join(bad...)
}

// of returns the place of a setting, or of the nearest group above it that was given: there it has to be mended.
func (p places) of(key string) string {
	for {
		if where, ok := p[key]; ok || key == "" {
			return where
		}
		key = key[:max(strings.LastIndexByte(key, '.'), 0)]
	}
}
