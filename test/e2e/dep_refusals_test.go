// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Bad input to run is refused with the reason before anything is created.
func TestRunRefusals(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployApp("app", corev1.EnvVar{Name: "WEB_URL", Value: "http://web:8080/"})
	e.createService("web", tcpPort("", 8080, intstr.FromInt32(8080)))
	e.createPaused("incomplete", corev1.Container{Name: "app", Image: peerImage, EnvFrom: []corev1.EnvFromSource{
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "absent"}}},
		{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "missing"}}},
	}})
	notExecutable := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(notExecutable, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	app := "deployment/app"
	tests := []struct {
		name string
		code int
		args []string
		want []string
	}{
		{"no such program", 127, []string{app, "--", "no-such-program"}, []string{"no-such-program", "hint: "}},
		{"no program", 126, []string{app, "--", notExecutable}, []string{notExecutable, "permission denied", "hint: "}},
		{"no command", 2, []string{app}, []string{"no command after --"}},
		{"no workload", 2, []string{"--", "true"}, []string{"TYPE/NAME"}},
		{"no such type", 2, []string{"configmap/app", "--", "true"}, []string{"configmap/app", "deployment"}},
		{"no such workload", 1, []string{"deployment/nope", "--", "true"}, []string{"error from server (NotFound)", `"nope" not found`}},
		{"no such container", 1, []string{app, "-c", "nope", "--", "true"}, []string{"nope", "peer"}},
		{"missing objects", 1, []string{"deployment/incomplete", "--", "true"}, []string{"configmap/absent", "secret/missing"}},
		{"no such dependency to drop", 1, []string{app, "--no-dep", "nope", "--", "true"}, []string{"--no-dep", "nope"}},
		{"no port of a host", 1, []string{app, "--dep", "nope.example", "--", "true"}, []string{"--dep nope.example", "HOST:PORT"}},
		{"no port number", 1, []string{app, "--dep", "web:nope", "--", "true"}, []string{"--dep web:nope"}},
		{"contradiction", 2, []string{app, "--no-deps", "--dep", "web:8080", "--", "true"}, []string{"--no-deps"}},
		{"grace too short", 2, []string{app, "--grace", "1s", "--", "true"}, []string{"--grace"}},
		{"env file that is a directory", 1, []string{app, "--env-file", t.TempDir(), "--", "true"}, []string{"no regular file"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sub := e.within(t)
			sub.fails(test.code, append([]string{"run"}, test.args...), test.want...)
			sub.noSession()
		})
	}
	if out := e.must("run", app, "--no-deps", "--env-include", "PATH", "--", "sh", "-c", `echo "$WEB_URL"`); out != "http://web:8080/\n" {
		t.Errorf("without dependencies, WEB_URL is %q", out)
	}
	e.noSession()
}

// noSession checks that no session has begun, whose traffic-proxy would be there, or on its way out.
func (e *env) noSession() {
	e.Helper()
	events, err := e.client.CoreV1().Events(e.namespace).List(e.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Job"})
	if err != nil {
		e.Fatal(err)
	}
	for _, event := range events.Items {
		e.Errorf("a Job was there: %s", event.Message)
	}
	e.nothingLeft()
}

// createPaused creates a Deployment without pods, for what is told from its pod template.
func (e *env) createPaused(name string, container corev1.Container) {
	e.Helper()
	template := peerPod(nil, nil)
	template.Spec.Containers = []corev1.Container{container}
	e.deploy(name, 0, template)
}

// Exit codes are the COMMAND's, and so are its streams.
func TestRunPassesOn(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployApp("app", corev1.EnvVar{Name: "GREETING", Value: "it's $HOME"})
	for script, code := range map[string]int{"exit 0": 0, "exit 7": 7, "exit 255": 255, "kill -KILL $$": 128 + 9} {
		d := e.talk("run", "deployment/app", "--", "sh", "-c", `read line; echo "$line, $GREETING"; echo aside >&2; `+script)
		if _, err := fmt.Fprintln(d.stdin, "hello"); err != nil {
			t.Fatal(err)
		}
		if got := d.line(); got != "hello, it's $HOME" {
			t.Errorf("the command says %q", got)
		}
		d.done(code)
		d.says("aside")
	}
	e.createService("app", tcpPort("", 80, intstr.FromInt32(8080)))
	pods, err := e.client.CoreV1().Pods(e.namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=app"})
	if err != nil || len(pods.Items) != 1 {
		t.Fatal(pods, err)
	}
	for _, workload := range []string{"svc/app", "deploy/app", "deployments.apps/app", "pod/" + pods.Items[0].Name} {
		if out := e.must("run", workload, "--", "sh", "-c", `echo "$GREETING"`); out != "it's $HOME\n" {
			t.Errorf("%s: the command says %q", workload, out)
		}
	}
	e.nothingStays()
}

// A dependency that isn't there is told where it is dialled; the program and its other dependencies go on.
func TestDependenciesThatFail(t *testing.T) {
	t.Parallel()
	e, other := newEnv(t, nil), newEnv(t, nil)
	e.createService("web", tcpPort("", 8080, intstr.FromInt32(8080)))
	e.deployPeer("web", 1, nil, "--http=:8080")
	other.createService("catalog", tcpPort("", 8080, intstr.FromInt32(8080)))
	other.deployPeer("catalog", 1, nil, "--http=:8080")
	e.createService("empty", tcpPort("", 8080, intstr.FromInt32(8080)))
	e.deployApp("app",
		corev1.EnvVar{Name: "WEB_URL", Value: "http://web:8080/"},
		corev1.EnvVar{Name: "UNSEEN_URL", Value: "http://catalog." + other.namespace + ".svc:8080/"},
		corev1.EnvVar{Name: "EMPTY", Value: "http://empty:8080/"})
	u := e.as(t, "dev", "edit") // who may see nothing of the other namespace
	d := u.talk("run", "deployment/app", "--dep", "nowhere.example:80", "--", "sh", "-c", "peer urls && exec cat")
	var answered map[string]named
	d.tells(&answered)
	if len(answered) != 2 || !strings.HasPrefix(answered["UNSEEN_URL"].Host, "catalog-") {
		t.Errorf("answered by %v", answered)
	}
	list := e.dependencies()
	for name, why := range map[string]string{"nowhere.example": "no address", "empty": "refused"} {
		port := 8080
		if name == "nowhere.example" {
			port = 80
		}
		address, err := list.local(name, port, "tcp")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			if _, err = conn.Read(make([]byte, 1)); err == nil {
				t.Errorf("%s answers", name)
			}
			_ = conn.Close()
		}
		e.eventually(name+" to have failed", func() error {
			for _, item := range e.dependencies().Items {
				if item.Name == name && item.State == "failed" && strings.Contains(item.Reason, why) {
					return nil
				}
			}
			return fmt.Errorf("deps says %+v", e.dependencies().Items)
		})
		d.says(name)
	}
	d.done(0)
	e.nothingStays()
}

// A port that somebody has at all addresses of this machine is told, with who has it; the dependency moves.
func TestLocalPortTaken(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	e := newEnv(t, nil)
	e.createService("web", tcpPort("", int32(taken), intstr.FromInt32(8080)))
	e.deployPeer("web", 1, nil, "--http=:8080")
	e.deployApp("app", corev1.EnvVar{Name: "WEB_URL", Value: fmt.Sprintf("http://web:%d/", taken)})
	d := e.talk("run", "deployment/app", "--", "peer", "urls")
	var answered map[string]named
	d.tells(&answered)
	if !strings.HasPrefix(answered["WEB_URL"].Host, "web-") {
		t.Errorf("answered by %v", answered)
	}
	d.says(fmt.Sprintf("port %d is taken on this machine by %s (process %d)", taken, filepath.Base(os.Args[0]), os.Getpid()))
	d.done(0)
	e.nothingStays()
}

// A Secret that the user may not read is named, and can be gone on without.
func TestUnreadableSecret(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.createSecret("hidden", map[string]string{"password": "secret"})
	e.createSecret("mounted", map[string]string{"key": "secret"})
	template := appPod(corev1.EnvVar{Name: "COLOR", Value: "blue"},
		corev1.EnvVar{Name: "PASSWORD", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: "hidden"}, Key: "password",
		}}})
	template.Spec.Volumes = []corev1.Volume{secretVolume("keys", "mounted")}
	template.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "keys", MountPath: "/keys"}}
	e.deploy("app", 1, template)
	u := e.as(t, "dev", "view") // without Secrets
	_, err := e.client.RbacV1().Roles(e.namespace).Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "velo"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"*"}},
			{APIGroups: []string{""}, Resources: []string{"pods/portforward"}, Verbs: []string{"create"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.client.RbacV1().RoleBindings(e.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "velo"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "dev", Namespace: e.namespace}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "velo"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	u.fails(1, []string{"run", "deployment/app", "--", "true"}, "secret/hidden", "can't be read", "--skip-unreadable")
	d := u.talk("run", "deployment/app", "--skip-unreadable", "--", "sh", "-c", `echo "$COLOR ${PASSWORD-none}" && ls "$VELO_ROOT/keys" && echo end`)
	if got := d.line(); got != "blue none" {
		t.Errorf("the command says %q", got)
	}
	if got := d.line(); got != "end" {
		t.Errorf("there is a file %s", got)
	}
	d.done(0)
	d.says("secret/hidden")
	d.says("secret/mounted")
}

// The file of an environment is its owner's alone, and one that might be committed is warned about.
func TestEnvFile(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip(err)
	}
	e := newEnv(t, nil)
	e.deployWebAndApp(1)
	repository := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "git", "init", "-q", repository).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(filepath.Join(repository, ".gitignore"), []byte("ignored.json\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const warning = "lies in a Git work tree that doesn't ignore it"
	for name, warned := range map[string]bool{"env.json": true, "ignored.json": false} {
		path := filepath.Join(repository, name)
		d := e.talk("run", "deployment/app", "--env-file", path, "--", "sh", "-c", `tr -d '\n' <"$0" && echo && echo "$WEB_URL"`, path)
		var written map[string]string
		d.tells(&written)
		if url := d.line(); written["WEB_URL"] != url || !strings.HasPrefix(url, "http://127.") {
			t.Errorf("the file says %q, and the environment %q", written["WEB_URL"], url)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		d.done(0)
		if got := strings.Contains(d.output.String(), warning); got != warned {
			t.Errorf("%s: warned about: %t:\n%s", name, got, d.output.String())
		}
	}
	// A debugger reads it while an intercept goes on.
	path := filepath.Join(repository, "ignored.json")
	v := e.intercept("web", port(1, "8080"), "--env-file", path)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &map[string]string{}); err != nil {
		t.Errorf("%v: %s", err, data)
	}
	v.interrupt()
	e.nothingLeft()
}
