// SPDX-License-Identifier: Apache-2.0

package livesession

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func aSession(id string, since time.Time) Session {
	return Session{
		Version: version, ID: id, PID: 4711, Kind: Intercept, Context: "prod", Namespace: "shop", Name: "svc/web", Since: since,
		Ports: []Port{{Name: "http", Port: 80, Protocol: "tcp", Local: "localhost:3002"}},
		Dependencies: []Dependency{{
			Name: "orders", Namespace: "shop", Port: 8080, Protocol: "tcp", Local: "127.84.0.3:8080", State: Ready,
			Connections: 2, BytesSent: 1 << 40, BytesReceived: 3, RoundTripMicros: 420,
			Evidence: []string{"environment:ORDERS_URL (http://orders:8080)"},
		}},
	}
}

func newYear() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

// TestFormat keeps what sessions say as other versions read it.
func TestFormat(t *testing.T) {
	const want = `{"version":1,"id":"1a2b","pid":4711,"kind":"intercept","context":"prod","namespace":"shop","name":"svc/web",` +
		`"since":"2026-01-01T00:00:00Z","ports":[{"name":"http","port":80,"protocol":"tcp","local":"localhost:3002"}],` +
		`"dependencies":[{"name":"orders","namespace":"shop","port":8080,"protocol":"tcp","local":"127.84.0.3:8080",` +
		`"state":"ready","connections":2,"bytesSent":1099511627776,"bytesReceived":3,"roundTripMicros":420,` +
		`"evidence":["environment:ORDERS_URL (http://orders:8080)"]}]}`
	said := aSession("1a2b", newYear())
	data, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != want {
		t.Errorf("a session says\n%s\nwant\n%s", data, want)
	}
	again, err := decode([]byte(want), "1a2b")
	if err != nil || !reflect.DeepEqual(again, said) {
		t.Errorf("read back it is %+v, %v", again, err)
	}
}

func TestDecode(t *testing.T) {
	tests := []struct {
		name, said string
		err        string
		is         error
	}{
		{"little", `{"version":1,"id":"a"}`, "", nil},
		{"fields of a later time", `{"version":1,"id":"a","mood":{"good":true}}`, "", nil},
		{"nothing", ``, "unexpected EOF", io.ErrUnexpectedEOF},
		{"another version", `{"version":2,"id":["a"]}`, "it is of another version of the plugin: it says version 2, and this is 1", errVersion},
		{"no version", `{"id":"a"}`, "it says version 0", errVersion},
		{"somebody else", `{"version":1,"id":"b"}`, `it says that it is session "b"`, nil},
		{"a part", `{"version":1,"id":"a"`, "unexpected end of JSON input", nil},
		{"more", `{"version":1,"id":"a"}{}`, "invalid character '{' after top-level value", nil},
		{"no object", `[]`, "cannot unmarshal array", nil},
		{"a port too high", `{"version":1,"id":"a","ports":[{"port":65536}]}`, "cannot unmarshal number 65536", nil},
		{"no end", `{"version":1,"id":"a"}` + strings.Repeat(" ", maxSize), "it says more than 4194304 bytes", nil},
		{"just the size", `{"version":1,"id":"a"}` + strings.Repeat(" ", maxSize-len(`{"version":1,"id":"a"}`)), "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, err := read(strings.NewReader(tt.said))
			if err == nil {
				_, err = decode(data, "a")
			}
			switch {
			case tt.err == "" && err != nil:
				t.Error(err)
			case tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("the error is %v, want %q", err, tt.err)
			case tt.is != nil && !errors.Is(err, tt.is):
				t.Errorf("the error is %v, want %v", err, tt.is)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	whole, err := json.Marshal(aSession("a", newYear()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"version":1,"id":"a","since":"2026-01-01T00:00:00+01:00"}`))
	f.Add([]byte(`{"version":1,"ID":"a","dependencies":[null,{}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte("\xff\xfe{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := decode(data, "a")
		if err != nil {
			return
		}
		// What can be read can be said again, and is the same then.
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatalf("saying %+v: %v", s, err)
		}
		understood, err := decode(again, "a")
		if err != nil {
			t.Fatalf("reading %s: %v", again, err)
		}
		last, err := json.Marshal(understood)
		if err != nil || !bytes.Equal(last, again) {
			t.Fatalf("%s was read as %s, %v", again, last, err)
		}
	})
}
