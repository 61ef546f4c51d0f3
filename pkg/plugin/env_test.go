// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-velo/kubectl-velo/pkg/environment"
)

// envCluster has a pod with two containers. The Secrets db and keys may not be read.
func envCluster() *cluster {
	env := func(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }
	key := func(name, secret string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: "key",
		}}}
	}
	missing := corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "gone"}}}
	pod := shopPod("web", "", "", 1, func(pod *corev1.Pod) {
		pod.Spec.Containers = []corev1.Container{
			{Name: "main", Env: []corev1.EnvVar{env("COLOR", "blue"), env("HOME", "/app"), env("JAVA_HOME", "/java"), env("JAVA_OPTS", "-x"), env("KUBERNETES_PORT", "own")}},
			{Name: "closed", Env: []corev1.EnvVar{key("PASSWORD", "db"), key("KEY", "keys"), env("COLOR", "red")}},
			{Name: "broken", EnvFrom: []corev1.EnvFromSource{missing}, Env: []corev1.EnvVar{key("PASSWORD", "db")}},
			{Name: "lines", Env: []corev1.EnvVar{env("TEXT", "a\nb")}},
		}
	})
	chosen := shopPod("chosen", "", "", 1, func(other *corev1.Pod) {
		other.Spec.Containers = pod.Spec.Containers
		other.Annotations = map[string]string{"kubectl.kubernetes.io/default-container": "lines"}
	})
	api := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}}
	api.Spec = corev1.ServiceSpec{ClusterIP: "10.0.0.1", Ports: []corev1.ServicePort{{Name: "https", Port: 443}}}
	client := fake.NewClientset(pod, chosen, api)
	client.PrependReactor("get", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		name := action.(clienttesting.GetAction).GetName()
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, name, errors.New("ada may not"))
	})
	return &cluster{client: client, namespace: "shop"}
}

func TestEnv(t *testing.T) {
	const several = "⚠ container main is taken, of main, closed, broken, lines; --container takes another\n"
	tests := []struct {
		name     string
		args     []string
		workload string
		want     string
		said     string
		err      string
	}{
		{
			name: "rules", args: []string{"-o", "json"}, want: "{\n  \"COLOR\": \"blue\",\n  \"JAVA_OPTS\": \"-x\"\n}\n",
			said: several + "⚠ left out: HOME, JAVA_HOME, KUBERNETES_PORT (see 'kubectl velo env --help')\n",
		},
		{
			name: "included and excluded", args: []string{"-c", "main", "--env-include", "JAVA_*", "--env-include=HOME", "--env-exclude", "C*", "--env-exclude=*_OPTS"},
			want: "HOME='/app'\nJAVA_HOME='/java'\n", said: "⚠ left out: COLOR, JAVA_OPTS, KUBERNETES_PORT (see 'kubectl velo env --help')\n",
		},
		{
			name: "unreadable", args: []string{"-c", "closed"},
			err: `error: computing the environment of pod shop/web: secret/db can't be read: error from server (Forbidden): secrets "db" is forbidden: ada may not; ` +
				`secret/keys can't be read: secrets "keys" is forbidden: ada may not
hint: go on without what comes from there with --skip-unreadable
`,
		},
		{
			name: "unreadable and skipped", args: []string{"-c", "closed", "--skip-unreadable", "-o", "yaml"}, want: "\"COLOR\": \"red\"\n",
			said: `⚠ going on without secret/db, which can't be read: secrets "db" is forbidden: ada may not
⚠ going on without secret/keys, which can't be read: secrets "keys" is forbidden: ada may not
`,
		},
		{
			name: "missing", args: []string{"-c", "broken", "--skip-unreadable"},
			err: "error: computing the environment of pod shop/web: the container couldn't start without configmap/gone\n",
		},
		{
			name: "no such container", args: []string{"-c", "nope"},
			err: "error: computing the environment of pod shop/web: no container \"nope\", only main, closed, broken, lines\n",
		},
		{
			name: "what the format can't hold", args: []string{"-c", "lines", "-o", "docker"},
			err: "error: format docker can't hold every variable: \"TEXT\": ",
		},
		{name: "the annotation's container", workload: "pod/chosen", want: "TEXT='a\nb'\n"},
		{name: "no such pod", workload: "pod/nope", err: "error: reading pod shop/nope: error from server (NotFound): pods \"nope\" not found\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, _, stdout, stderr := genericiooptions.NewTestIOStreams()
			o := &envOptions{cluster: envCluster(), streams: streams, workload: "pod/web"}
			if tt.workload != "" {
				o.workload = tt.workload
			}
			flags := pflag.NewFlagSet("env", pflag.ContinueOnError)
			o.addFlags(flags)
			if err := flags.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			if err := o.validate(); err != nil {
				t.Fatal(err)
			}
			var failed bytes.Buffer
			if err := o.run(t.Context()); err != nil {
				printError(&failed, "kubectl velo env", err)
			}
			if tt.err == "" && failed.Len() > 0 || !strings.HasPrefix(failed.String(), tt.err) {
				t.Errorf("error:\n%swant:\n%s", failed.String(), tt.err)
			}
			if stdout.String() != tt.want {
				t.Errorf("stdout:\n%swant:\n%s", stdout, tt.want)
			}
			if stderr.String() != tt.said {
				t.Errorf("stderr:\n%swant:\n%s", stderr, tt.said)
			}
		})
	}
}

func TestEnvOfPodTemplate(t *testing.T) {
	w := &workload{kind: "deployment", namespace: "shop", name: "web", pod: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Env: []corev1.EnvVar{
			{Name: "NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
		}}}},
	}}
	o := &environmentOptions{}
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	got, err := o.resolve(t.Context(), envCluster(), w, newReport(&said))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Name != "NAME" || got[0].Value != "" {
		t.Errorf("got %v", got)
	}
	const want = "⚠ deployment shop/web has no pod that runs: the environment is its pod template's, and what only a pod knows is empty\n"
	if said.String() != want {
		t.Errorf("it says %q, want %q", said.String(), want)
	}
}

func TestRulesHelp(t *testing.T) {
	help := rulesHelp()
	for _, rule := range environment.ContainerRules() {
		if !strings.Contains(help, rule.Pattern) || strings.Count(help, rule.Reason) != 1 {
			t.Errorf("%s: %s isn't told once:\n%s", rule.Pattern, rule.Reason, help)
		}
	}
}
