// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
)

func TestConfigsAreWellFormed(t *testing.T) {
	entries, err := configs.ReadDir("config")
	if err != nil || len(entries) == 0 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		data, err := render(e.Name())
		if err != nil {
			t.Errorf("%s: %v", e.Name(), err)
			continue
		}
		switch filepath.Ext(e.Name()) {
		case ".conflist":
			if !json.Valid(data) {
				t.Errorf("%s is not JSON:\n%s", e.Name(), data)
			}
		case ".yaml":
			for i, doc := range strings.Split(string(data), "\n---\n") {
				var object struct{ APIVersion, Kind string }
				if err := yaml.Unmarshal([]byte(doc), &object); err != nil || object.APIVersion == "" || object.Kind == "" {
					t.Errorf("%s, document %d: %+v, %v", e.Name(), i, object, err)
				}
			}
		}
	}
}

func TestCertificates(t *testing.T) {
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.pem)
	parse := func(p pair, err error) *x509.Certificate {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(p.cert)
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}

	server := parse(ca.server("apiserver", "127.0.0.1", "kubernetes.default"))
	for _, host := range []string{"127.0.0.1", "kubernetes.default"} {
		if _, err := server.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("as %s: %v", host, err)
		}
	}
	if _, err := server.Verify(x509.VerifyOptions{Roots: roots, DNSName: "10.0.0.1"}); err == nil {
		t.Error("good for a host it does not name")
	}
	client := parse(ca.client("kubernetes-admin", "system:masters"))
	if _, err := client.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if client.Subject.CommonName != "kubernetes-admin" || client.Subject.Organization[0] != "system:masters" {
		t.Errorf("subject %s", client.Subject)
	}
}

func TestKubeconfigIsPrivateAndComplete(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "kubeconfig")
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	p, err := ca.client("someone")
	if err != nil {
		t.Fatal(err)
	}
	if err := writeKubeconfig(file, "https://127.0.0.1:1", ca.pem, "someone", p); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:1" || len(config.CertData) == 0 || len(config.KeyData) == 0 || len(config.CAData) == 0 {
		t.Errorf("config %v", config)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".new-*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestAwait(t *testing.T) {
	notYet := errors.New("not yet")
	synctest.Test(t, func(t *testing.T) {
		start, calls := time.Now(), 0
		err := await(t.Context(), "it", time.Minute, func(context.Context) error {
			calls++
			if calls < 4 {
				return notYet
			}
			return nil
		})
		if took := time.Since(start); err != nil || took != 3*pollEvery {
			t.Errorf("%v after %s", err, took)
		}

		start = time.Now()
		err = await(t.Context(), "it", time.Minute, func(context.Context) error { return notYet })
		if took := time.Since(start); !errors.Is(err, notYet) || took != time.Minute {
			t.Errorf("%v after %s", err, took)
		}

		start = time.Now()
		err = await(t.Context(), "it", time.Minute, func(context.Context) error { return final{notYet} })
		if took := time.Since(start); !errors.Is(err, notYet) || took != 0 {
			t.Errorf("a final error: %v after %s", err, took)
		}

		ctx, cancel := context.WithCancelCause(t.Context())
		died := errors.New("etcd died")
		cancel(died)
		if err := await(ctx, "it", time.Minute, func(context.Context) error { return notYet }); !errors.Is(err, died) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestOlderThan(t *testing.T) {
	for _, tt := range []struct {
		said string
		than string
		want bool
	}{
		{"4.18.0-553.el8", "4.19", true},
		{"4.19.0-27-amd64", "4.19", false},
		{"6.1.0", "4.19", false},
		{"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3", "1.6", false},
		{"containerd github.com/containerd/containerd 1.4.13~ds1", "1.6", true},
		{"containerd containerd.io v2.1.4 75cb2b7193e4", "1.6", false},
		{"nginx version: nginx/1.18.0 (Ubuntu)", "1.20", true},
		{"nginx version: nginx/1.22.1", "1.20", false},
		{"who knows", "1.6", false},
	} {
		if got := olderThan(versionIn(tt.said), tt.than); got != tt.want {
			t.Errorf("%q older than %s: %v", tt.said, tt.than, got)
		}
	}
}
