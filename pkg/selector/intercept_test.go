// SPDX-License-Identifier: Apache-2.0

package selector

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// whole is an annotation with all that one may say.
const whole = `{"version":1,"session":"1a2b3c4d","owner":"ada@laptop","since":"2026-01-02T03:04:05Z",` +
	`"expires":"2026-01-02T04:04:05Z","selector":{"app":"cart","tier":"web"},"proxy":"cart-traffic-proxy"}`

// same reports whether two intercepts mean the same.
func same(a, b *Intercept) bool {
	sameEnd := a.Expires == nil && b.Expires == nil ||
		a.Expires != nil && b.Expires != nil && a.Expires.Equal(*b.Expires)
	return sameEnd && a.Version == b.Version && a.Session == b.Session && a.Owner == b.Owner &&
		a.Since.Equal(b.Since) && maps.Equal(a.Selector, b.Selector) && a.Proxy == b.Proxy
}

func TestDecode(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	expires := since.Add(time.Hour)
	tests := []struct {
		name, value string
		want        *Intercept
		err         string // part of it
	}{
		{
			name: "whole", value: whole,
			want: &Intercept{
				Version: 1, Session: "1a2b3c4d", Owner: "ada@laptop", Since: since, Expires: &expires,
				Selector: map[string]string{"app": "cart", "tier": "web"}, Proxy: "cart-traffic-proxy",
			},
		},
		{
			name:  "no end",
			value: `{"version":1,"session":"s","owner":"o","since":"2026-01-02T04:04:05+01:00","selector":{"app":"cart"},"proxy":"p"}`,
			want: &Intercept{
				Version: 1, Session: "s", Owner: "o", Since: since, Selector: map[string]string{"app": "cart"}, Proxy: "p",
			},
		},
		{
			name:  "fields that a later version may add",
			value: `{"version":1,"session":"s","since":"2026-01-02T03:04:05Z","selector":{"app":"cart"},"mirror":true}`,
			want:  &Intercept{Version: 1, Session: "s", Since: since, Selector: map[string]string{"app": "cart"}},
		},
		{name: "a later version", value: strings.Replace(whole, `"version":1`, `"version":2`, 1), err: "version is 2"},
		{name: "no version", value: strings.Replace(whole, `"version":1,`, "", 1), err: "version is 0"},
		{name: "no session", value: strings.Replace(whole, `1a2b3c4d`, "", 1), err: "names no session"},
		{name: "empty selector", value: strings.Replace(whole, `{"app":"cart","tier":"web"}`, "{}", 1), err: "holds no selector"},
		{name: "no selector", value: `{"version":1,"session":"s"}`, err: "holds no selector"},
		{name: "not a time", value: strings.Replace(whole, `2026-01-02T03:04:05Z`, "yesterday", 1), err: "yesterday"},
		{name: "empty", value: "", err: "unexpected end"},
		{name: "null", value: "null", err: "version is 0"},
		{name: "a list", value: "[]", err: "array"},
		{name: "cut off", value: whole[:len(whole)/2], err: "unexpected end"},
		{name: "something after it", value: whole + "{}", err: "after top-level value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decode(tt.value)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("decode = %+v, %v; want an error with %q", got, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !same(got, tt.want) {
				t.Errorf("decode = %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestEncode(t *testing.T) {
	i, err := decode(whole)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := i.encode(); err != nil || got != whole {
		t.Errorf("encode = %s, %v\n want    %s", got, err, whole)
	}
}

// What decodes must mean the same once it has been written again: a restore works from it.
func FuzzDecode(f *testing.F) {
	f.Add(whole)
	f.Add(`{"version":1,"session":"s","since":"2026-01-02T04:04:05.000000001+01:00","selector":{"app":"cart"}}`)
	f.Add(`{"version":1,"session":"<&>\u2028","selector":{"":""},"SELECTOR":{"a":"b"},"expires":null}`)
	f.Add(`{"version":1,"session":"s","selector":{"a":"\ud800"},"since":"0000-01-01T00:00:00-23:59"}`)
	f.Add(`{"version":1.0,"session":"s"}`)
	f.Add("null")
	f.Add("")
	f.Fuzz(func(t *testing.T, value string) {
		first, err := decode(value)
		if err != nil {
			if first != nil {
				t.Fatalf("decode = %+v along with the error %v", first, err)
			}
			return
		}
		written, err := first.encode()
		if err != nil {
			t.Fatalf("what was decoded can't be encoded: %v", err)
		}
		second, err := decode(written)
		if err != nil {
			t.Fatalf("what was encoded can't be decoded: %v\n%s", err, written)
		}
		if !same(first, second) {
			t.Fatalf("decoded %+v, encoded it as %s, decoded %+v", first, written, second)
		}
	})
}

func TestOf(t *testing.T) {
	service := func(annotations map[string]string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart", Annotations: annotations}}
	}
	t.Run("none", func(t *testing.T) {
		got, err := Of(service(map[string]string{"somebody.example/intercept": whole}))
		if got != nil || err != nil {
			t.Errorf("Of = %+v, %v; want nil, nil", got, err)
		}
	})
	t.Run("intercepted", func(t *testing.T) {
		got, err := Of(service(map[string]string{Annotation: whole}))
		if err != nil {
			t.Fatal(err)
		}
		if got.Session != "1a2b3c4d" || got.Owner != "ada@laptop" {
			t.Errorf("Of = %+v", got)
		}
	})
	t.Run("not understood", func(t *testing.T) {
		got, err := Of(service(map[string]string{Annotation: "{}"}))
		if got != nil || !errors.Is(err, ErrAnnotation) {
			t.Fatalf("Of = %+v, %v; want ErrAnnotation", got, err)
		}
		if !strings.Contains(err.Error(), "shop/cart") {
			t.Errorf("the error %q doesn't name the Service", err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		// An annotation that is there and empty isn't the same as none: something is wrong.
		if _, err := Of(service(map[string]string{Annotation: ""})); !errors.Is(err, ErrAnnotation) {
			t.Errorf("Of: %v, want ErrAnnotation", err)
		}
	})
}
