// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	postgresImage   = "ghcr.io/kubectl-velo/test-postgres:dev"
	postgresArchive = "../../.cluster/images/test-postgres.tar"
	redisArchive    = "../../.cluster/images/shop-redis.tar"
	// postgresPassword is one that URLs, shells and DSNs must take care of.
	postgresPassword = `p@$$w:0/r#d %25'"\&é`
)

// needs skips a test that uses programs which this machine hasn't, or images that couldn't be made.
func needs(t *testing.T, archives []string, programs ...string) {
	t.Helper()
	for _, archive := range archives {
		if _, err := os.Stat(archive); err != nil {
			t.Skipf("there is no such image: Debian's package for it can't be had here (%v)", err)
		}
	}
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%v; 'make test-tools' installs it on Debian", err)
		}
	}
}

// answered is what pgclient says to a query.
type answered struct {
	Value       string
	TLS         bool
	Connections int
	Error       string
}

// PostgreSQL and redis used from this machine by the programs and libraries that everybody uses, with TLS and without.
func TestDatabases(t *testing.T) {
	t.Parallel()
	needs(t, []string{postgresArchive, redisArchive}, "psql", "redis-cli", "pgclient")
	e, other := newEnv(t, nil), newEnv(t, nil)
	e.deployPostgres()
	other.deployRedis()
	e.deployDatabaseClient(other.namespace)
	sub := func(name string, test func(*env)) { t.Run(name, func(t *testing.T) { test(e.within(t)) }) }
	sub("psql", (*env).psql)
	sub("redis-cli", (*env).redisCLI)
	sub("pgx", (*env).pgx)
	sub("restarted", (*env).postgresRestarted)
	e.nothingStays()
}

const secureQuery = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"

func (e *env) psql() {
	const query = ` psql --no-psqlrc -Atc "` + secureQuery + `"; `
	script := "set -e; "
	modes := []string{"disable", "require", "verify-ca"}
	for _, mode := range modes {
		script += "PGSSLMODE=" + mode + query
	}
	script += `PGSSLMODE=disable psql --no-psqlrc -Atc "` + secureQuery + `" "$DATABASE_URL"; `
	// Who verifies names has to be told the name that the certificate has, as the address here is another one.
	script += "PGSSLMODE=verify-full PGHOSTADDR=$PGHOST PGHOST=postgres" + query
	if out, want := e.must("run", "deployment/app", "--", "sh", "-c", script), "f\nt\nt\nf\nt\n"; out != want {
		e.Errorf("psql says %q, not %q", out, want)
	}
	e.Logf("connections of psql: %d", len(modes)+2)
	_, err := e.kubectl("velo", "run", "deployment/app", "--", "env", "PGPASSWORD=wrong", "psql", "--no-psqlrc", "-c", "select 1")
	if err == nil || !strings.Contains(err.Error(), "password authentication failed") || !strings.Contains(err.Error(), "exit status 2") {
		e.Errorf("with a wrong password: %v", err)
	}
}

func (e *env) redisCLI() {
	const keys = 2000
	out := e.must("run", "deployment/app", "--", "sh", "-c",
		fmt.Sprintf(`seq %d | sed 's/.*/SET key:& value-&/' | redis-cli -u "$REDIS_URL" --pipe && redis-cli -u "$REDIS_URL" DBSIZE && redis-cli -u "$REDIS_URL" GET key:%d`, keys, keys))
	if want := fmt.Sprintf("errors: 0, replies: %d\n%d\nvalue-%d\n", keys, keys, keys); !strings.HasSuffix(out, want) {
		e.Errorf("redis-cli says %q, not %q", out, want)
	}
	e.Logf("commands that redis-cli sent: %d", keys+2)
}

func (e *env) pgx() {
	queries := 0
	for _, test := range []struct {
		mode, source string
		tls          bool
	}{
		{"disable", "DATABASE_URL=$DATABASE_URL", false},
		{"require", "DATABASE_URL=$DATABASE_URL", true},
		{"verify-full", "DATABASE_URL=$DATABASE_URL", true},
		{"verify-full", "DATABASE_URL=", true},
		{"verify-full", `DATABASE_URL="$DATABASE_DSN"`, true},
	} {
		d := e.talk("run", "deployment/app", "--", "sh", "-c",
			"PGSSLMODE="+test.mode+" "+test.source+" exec pgclient -server-name postgres")
		for n := range 3 {
			var a answered
			d.asks(fmt.Sprintf("select repeat('%d', 100000)", n), &a)
			if a.Value != strings.Repeat(fmt.Sprint(n), 100000) || a.TLS != test.tls || a.Connections != 1 {
				e.Errorf("%+v: %.100q with TLS %t, %d connections, error %q", test, a.Value, a.TLS, a.Connections, a.Error)
			}
			queries++
		}
		if test.source == "DATABASE_URL=" {
			e.tellsNoPassword(d)
		}
		d.done(0)
	}
	e.Logf("queries of pgx: %d", queries)
}

// tellsNoPassword checks that the password is in nothing that others see, or that is listed.
func (e *env) tellsNoPassword(d *dialogue) {
	e.Helper()
	said := d.output.String()
	for _, format := range []string{"wide", "json", "yaml"} {
		said += e.must("deps", "-o", format) + e.must("deps", "deployment/app", "-o", format)
	}
	arguments, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", d.cmd.Process.Pid))
	if err == nil {
		said += string(arguments)
	}
	beginning := postgresPassword[:3]
	for _, form := range []string{beginning, url.QueryEscape(beginning), url.PathEscape(beginning)} {
		if strings.Contains(said, form) {
			e.Errorf("the password is told: %s", said)
		}
	}
}

// postgresRestarted deletes the database's pod under a client that goes on: its name leads to a new pod with another
// address, and the client's next connection to that.
func (e *env) postgresRestarted() {
	d := e.talk("run", "deployment/app", "--", "sh", "-c", `PGSSLMODE=require DATABASE_URL=$STATEFUL_URL exec pgclient`)
	var a answered
	d.asks("select 1", &a)
	if a.Value != "1" || a.Connections != 1 {
		e.Fatalf("before: %+v", a)
	}
	failed := 0
	n := times(e.T, 2)
	for i := range n {
		was, err := e.client.CoreV1().Pods(e.namespace).Get(e.Context(), "postgres-0", metav1.GetOptions{})
		if err != nil {
			e.Fatal(err)
		}
		if err := e.removePod("postgres-0", false); err != nil {
			e.Fatal(err)
		}
		e.eventually("another pod", func() error {
			pod, err := e.client.CoreV1().Pods(e.namespace).Get(e.Context(), "postgres-0", metav1.GetOptions{})
			if err != nil {
				return err
			}
			ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			})
			if pod.UID == was.UID || !ready {
				return errNotYet
			}
			return nil
		})
		// The cluster's DNS may know the old address for as long as it caches it.
		e.eventually("an answer", func() error {
			a = answered{}
			d.asks("select 1", &a)
			if a.Error != "" {
				failed++
				return fmt.Errorf("%s", a.Error)
			}
			return nil
		})
		if a.Value != "1" || a.Connections != i+2 {
			e.Errorf("after restart %d: %+v", i+1, a)
		}
	}
	d.done(0)
	e.Logf("pods deleted: %d, connections: %d, queries that failed: %d", n, a.Connections, failed)
}

// deployDatabaseClient deploys what uses the databases, configured in every way that is common.
func (e *env) deployDatabaseClient(redisNamespace string) {
	e.Helper()
	user := url.UserPassword("postgres", postgresPassword)
	e.createSecret("database", map[string]string{
		"password": postgresPassword,
		"url":      (&url.URL{Scheme: "postgres", User: user, Host: "postgres:5432", Path: "/postgres"}).String(),
		"stateful": (&url.URL{Scheme: "postgresql", User: user, Host: "postgres-0.postgres-pods:5432", Path: "/postgres"}).String(),
		"dsn": "host=postgres port=5432 user=postgres dbname=postgres password='" +
			strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(postgresPassword) + "'",
	})
	secret := func(name, key string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "database"}, Key: key,
		}}}
	}
	template := appPod(
		corev1.EnvVar{Name: "PGHOST", Value: "postgres"},
		corev1.EnvVar{Name: "PGPORT", Value: "5432"},
		corev1.EnvVar{Name: "PGUSER", Value: "postgres"},
		corev1.EnvVar{Name: "PGDATABASE", Value: "postgres"},
		corev1.EnvVar{Name: "PGSSLROOTCERT", Value: "/etc/postgres/ca.crt"},
		corev1.EnvVar{Name: "REDIS_URL", Value: "redis://redis." + redisNamespace + ":6379/0"},
		secret("PGPASSWORD", "password"), secret("DATABASE_URL", "url"), secret("STATEFUL_URL", "stateful"), secret("DATABASE_DSN", "dsn"))
	template.Spec.Volumes = []corev1.Volume{secretVolume("ca", "postgres-ca")}
	template.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "ca", MountPath: "/etc/postgres"}}
	e.deploy("app", 1, template)
}

func secretVolume(name, secret string) corev1.Volume {
	readable := int32(0o440) // by its group alone
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: secret, DefaultMode: &readable},
	}}
}

func (e *env) createSecret(name string, data map[string]string) {
	e.Helper()
	_, err := e.client.CoreV1().Secrets(e.namespace).Create(e.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: data,
	}, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
}

// deployRedis deploys the redis of the demo.
func (e *env) deployRedis() {
	e.Helper()
	template := peerPod(nil, nil)
	redis := &template.Spec.Containers[0]
	redis.Image, redis.Args = "ghcr.io/kubectl-velo/shop-redis:dev", []string{"--protected-mode", "no", "--save", ""}
	redis.ReadinessProbe = &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(6379)}},
		PeriodSeconds: 1,
	}
	e.createService("redis", tcpPort("redis", 6379, intstr.FromInt32(6379)))
	e.deploy("redis", 1, template)
}

// deployPostgres deploys PostgreSQL, with TLS for who wants it: as postgres for any of its pods, and below postgres-pods.
func (e *env) deployPostgres() {
	e.Helper()
	ca, certificate, key := certificates(e.T, "postgres", "postgres."+e.namespace, "postgres."+e.namespace+".svc")
	e.createSecret("postgres-ca", map[string]string{"ca.crt": ca})
	e.createSecret("postgres", map[string]string{"tls.crt": certificate, "tls.key": key, "password": postgresPassword})
	template := peerPod(nil, nil)
	group := int64(65532)
	template.Spec.SecurityContext.FSGroup = &group
	postgres := &template.Spec.Containers[0]
	postgres.Image, postgres.Args = postgresImage, []string{"-c", "ssl=on", "-c", "ssl_cert_file=/tls/tls.crt", "-c", "ssl_key_file=/tls/tls.key"}
	postgres.Env = []corev1.EnvVar{{Name: "POSTGRES_PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: "postgres"}, Key: "password",
	}}}}
	postgres.ReadinessProbe = &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/ready"}}},
		PeriodSeconds: 1, TimeoutSeconds: 5,
	}
	postgres.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}, {Name: "tls", MountPath: "/tls"}}
	template.Spec.Volumes = []corev1.Volume{
		{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		secretVolume("tls", "postgres"),
	}
	e.createService("postgres", tcpPort("postgres", 5432, intstr.FromInt32(5432)))
	e.deployStateful("postgres", "postgres-pods", 1, template)
}

// certificates makes a certificate for hosts, by an authority of its own.
func certificates(t *testing.T, hosts ...string) (ca, certificate, key string) {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fail(err)
	ends := time.Now().Add(time.Hour)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: ends,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, caKey.Public(), caKey)
	fail(err)
	ownKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fail(err)
	own := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: hosts[0]}, DNSNames: hosts, NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, own, authority, ownKey.Public(), caKey)
	fail(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(ownKey)
	fail(err)
	return encode("CERTIFICATE", caDER), encode("CERTIFICATE", der), encode("PRIVATE KEY", keyDER)
}
