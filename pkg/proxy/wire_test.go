// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"bytes"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
)

func TestHelloRoundTrip(t *testing.T) {
	want := hello{Session: "1f2e3d4c", Ports: []uint16{80, 65535}}
	var buf bytes.Buffer
	if err := writeHello(&buf, want); err != nil {
		t.Fatal(err)
	}
	var got hello
	if err := readHello(&buf, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestReadHello(t *testing.T) {
	tests := []struct {
		name, wire string
		want       error
	}{
		{"another program", "SSH-2.0-x\r\n", errNotVelo},
		{"another version", "velo\x02\x00\x02{}", ErrVersion},
		{"another version's body", "velo\x09\x00\x02!!", ErrVersion},
		{"too long", "velo\x01\xff\xff", errHelloSize},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var h hello
			if err := readHello(strings.NewReader(test.wire), &h); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	for _, truncated := range []string{"", "ve", "velo\x01\x00", "velo\x01\x00\x05{}", "velo\x01\x00\x03{}}"} {
		var h hello
		if err := readHello(strings.NewReader(truncated), &h); err == nil {
			t.Errorf("%q was read without an error", truncated)
		}
	}
}

// A proxy tells a plugin of another version so, in words, instead of just closing.
func TestWelcomeOfAnotherVersion(t *testing.T) {
	laptop, cluster := net.Pipe()
	defer laptop.Close()
	defer cluster.Close()
	refused := make(chan error, 1)
	go func() {
		_, err := welcome(cluster, testVersion, func(hello) (answer, error) { return answer{}, nil })
		refused <- err
	}()
	if _, err := laptop.Write([]byte("velo\x07\x00\x02{}")); err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := readHello(laptop, &a); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(a.Error, "version") || a.Version != testVersion {
		t.Errorf("the answer is %+v", a)
	}
	if err := <-refused; !errors.Is(err, ErrVersion) {
		t.Errorf("got %v, want %v", err, ErrVersion)
	}
}

func FuzzReadHello(f *testing.F) {
	f.Add([]byte("velo\x01\x00\x02{}"))
	f.Add([]byte("velo\x01\x00\x24{\"session\":\"1f2e3d4c\",\"ports\":[80]}"))
	f.Add([]byte("velo\x02\x00\x00"))
	f.Add([]byte("velo\x01\xff\xff"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		var h hello
		if readHello(bytes.NewReader(wire), &h) != nil {
			return
		}
		var buf bytes.Buffer
		if err := writeHello(&buf, h); err != nil {
			if errors.Is(err, errHelloSize) {
				return // what JSON escapes may be shorter unescaped
			}
			t.Fatal(err)
		}
		var again hello
		if err := readHello(&buf, &again); err != nil || !reflect.DeepEqual(again, h) {
			t.Errorf("%+v became %+v, %v", h, again, err)
		}
	})
}

func FuzzReadStreamHeader(f *testing.F) {
	f.Add([]byte{1, 0, 0})
	f.Add([]byte{2, 0x1f, 0x90})
	f.Add([]byte{9, 0, 0})
	f.Add([]byte{2, 0})
	f.Add([]byte("\x03\x1f\x90\x06orders"))
	f.Add([]byte("\x04\x00\x35\x14kube-dns.kube-system"))
	f.Add([]byte{3, 0, 80, 0})
	f.Add([]byte{3, 0, 80, 9, 'x'})
	f.Fuzz(func(t *testing.T, wire []byte) {
		h, err := readStreamHeader(bytes.NewReader(wire))
		if err != nil {
			return
		}
		if got := h.bytes(); !bytes.HasPrefix(wire, got) {
			t.Errorf("%x was read as %+v and written as %x", wire, h, got)
		}
	})
}
