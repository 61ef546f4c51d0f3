// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kubectl-velo/kubectl-velo/pkg/environment"
)

// awkward are values that quoting goes wrong with.
func awkward() map[string]string {
	return map[string]string{
		"EMPTY":       "",
		"SPACES":      "  before and after  ",
		"LINES":       "one\ntwo\r\nthree\n\n",
		"QUOTES":      `it's "quoted" and ` + "`ticked`",
		"BACKSLASHES": `C:\temp\new\`,
		"DOLLARS":     "$HOME ${HOME} $(id) $1 $",
		"HASH":        "# no comment # this",
		"EQUALS":      "a=b=c",
		"UNICODE":     "Grüße, ☃, 日本, \U0001F600, e\u0301",
		"JSON":        `{"a": ["b\n", null], "c": "\u00e9"}`,
		"with.dots":   "dots",
		"with-dashes": "dashes",
		"1ST":         "begins with a digit",
	}
}

// createConfiguration creates what the pods refer to. The Services come first: a kubelet has to hear of them.
func (e *env) createConfiguration() {
	e.Helper()
	e.createService("orders", tcpPort("", 80, intstr.FromInt32(8080)))
	e.createService("db-main", tcpPort("sql", 5432, intstr.FromInt32(5432)), tcpPort("metrics-http", 9187, intstr.FromInt32(9187)))
	e.createService("dns", corev1.ServicePort{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}, corev1.ServicePort{Name: "dns-tcp", Port: 53})
	e.createServiceObject(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "headless"},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: map[string]string{"app": "x"}, Ports: []corev1.ServicePort{{Port: 80}}},
	})
	e.createServiceObject(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "external"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.com"},
	})
	many := make(map[string]string)
	for i := range 300 {
		many[fmt.Sprintf("V%03d", i)] = strings.Repeat(fmt.Sprint(i, " "), i)
	}
	for name, data := range map[string]map[string]string{
		"app":     {"COLOR": "blue", "ANIMAL": "cat", "DB_HOST": "db-main"},
		"other":   {"COLOR": "red", "DB_PORT": "5432"},
		"awkward": awkward(),
		"many":    many,
	} {
		_, err := e.client.CoreV1().ConfigMaps(e.namespace).Create(e.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data, BinaryData: map[string][]byte{"BINARY": {0xff}},
		}, metav1.CreateOptions{})
		if err != nil {
			e.Fatal(err)
		}
	}
	for name, data := range map[string]map[string][]byte{
		"db":     {"password": []byte("p@$$w0rd$(COLOR)'\"\\"), "user": []byte("shop")},
		"keys":   {"control": []byte("\x01\x02\x1b[0m\t\u0085\ufeff\u2028é\x7f\n"), "pem": []byte("-----BEGIN KEY-----\nMII=\n-----END KEY-----\n")},
		"binary": {"RAW": {0xff, 0xfe, 'a', 0x80}},
	} {
		_, err := e.client.CoreV1().Secrets(e.namespace).Create(e.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data,
		}, metav1.CreateOptions{})
		if err != nil {
			e.Fatal(err)
		}
	}
}

func value(name, v string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: v} }

func from(name string, source corev1.EnvVarSource) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &source}
}

func field(name, fieldPath string) corev1.EnvVar {
	return from(name, corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: fieldPath}})
}

func resourceOf(name, container, of, divisor string) corev1.EnvVar {
	ref := &corev1.ResourceFieldSelector{ContainerName: container, Resource: of}
	if divisor != "" {
		ref.Divisor = resource.MustParse(divisor)
	}
	return from(name, corev1.EnvVarSource{ResourceFieldRef: ref})
}

func configKey(name, object, key string, optional bool) corev1.EnvVar {
	return from(name, corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: object}, Key: key, Optional: &optional,
	}})
}

func secretKey(name, object, key string, optional bool) corev1.EnvVar {
	return from(name, corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: object}, Key: key, Optional: &optional,
	}})
}

func configMapSource(prefix, name string, optional bool) corev1.EnvFromSource {
	return corev1.EnvFromSource{Prefix: prefix, ConfigMapRef: &corev1.ConfigMapEnvSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: &optional,
	}}
}

func secretSource(prefix, name string, optional bool) corev1.EnvFromSource {
	return corev1.EnvFromSource{Prefix: prefix, SecretRef: &corev1.SecretEnvSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: &optional,
	}}
}

func quantities(cpu, memory, storage string) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory),
		corev1.ResourceEphemeralStorage: resource.MustParse(storage),
	}
}

// awkwardPod is a pod whose first container is called peer. The environment of all its containers is compared.
type awkwardPod struct {
	name string
	from []corev1.EnvFromSource
	env  []corev1.EnvVar
	edit func(*corev1.Pod)
	// has are some of the variables of the first container, so that there is no comparing nothing with nothing.
	has map[string]string
}

func awkwardPods() []awkwardPod {
	yes, no := true, false
	another := func(pod *corev1.Pod, name string) *corev1.Container {
		c := pod.Spec.Containers[0].DeepCopy()
		c.Name, c.EnvFrom, c.Env = name, nil, []corev1.EnvVar{value("CONTAINER", name)}
		return c
	}
	var literals []corev1.EnvVar
	for _, name := range slices.Sorted(maps.Keys(awkward())) {
		literals = append(literals, value(name, awkward()[name]))
	}
	return []awkwardPod{
		{name: "nothing"},
		{name: "literals", env: literals, has: map[string]string{"LINES": awkward()["LINES"], "1ST": awkward()["1ST"]}},
		{
			name: "references",
			env: []corev1.EnvVar{
				value("A", "a"), value("B", "$(A)b"), value("C", "$(B)c$(A)"), value("ESCAPED", "$$(A) $$$(A) $$$$(A) $$"),
				value("UNKNOWN", "$(NOWHERE)/$()"), value("EARLY", "$(LATE)"), value("LATE", "late"), value("OPEN", "$(A $(A"),
				value("NESTED", "$(A$(B))"), value("SELF", "$(SELF)"), value("HOSTED", "$(HOSTNAME) $(PATH)"), value("SHELL_LIKE", "$A ${A} $(A )"),
			},
			has: map[string]string{"C": "abca", "ESCAPED": "$(A) $a $$(A) $", "EARLY": "$(LATE)", "UNKNOWN": "$(NOWHERE)/$()"},
		},
		{
			name: "prefixes",
			from: []corev1.EnvFromSource{
				configMapSource("APP_", "app", false), configMapSource("my.app-", "awkward", false),
				secretSource("DB_", "db", false), configMapSource("", "awkward", false),
			},
			has: map[string]string{"APP_COLOR": "blue", "DB_user": "shop", "my.app-with.dots": "dots", "with-dashes": "dashes", "1ST": awkward()["1ST"]},
		},
		{
			name: "precedence",
			from: []corev1.EnvFromSource{configMapSource("", "app", false), configMapSource("", "other", false)},
			env: []corev1.EnvVar{
				value("SEEN", "$(COLOR) $(ANIMAL)"), value("ANIMAL", "dog"), value("SEEN_AFTER", "$(ANIMAL)"),
				value("TWICE", "1"), value("TWICE", "$(TWICE)2"), configKey("DB_HOST", "other", "COLOR", false),
			},
			has: map[string]string{"COLOR": "red", "SEEN": "red cat", "ANIMAL": "dog", "SEEN_AFTER": "dog", "TWICE": "12", "DB_HOST": "red"},
		},
		{
			name: "optional",
			from: []corev1.EnvFromSource{configMapSource("", "absent", true), secretSource("X_", "absent", true), configMapSource("", "app", true)},
			env: []corev1.EnvVar{
				configKey("NO_MAP", "absent", "KEY", true), configKey("NO_KEY", "app", "KEY", true),
				secretKey("NO_SECRET", "absent", "key", true), secretKey("NO_SECRET_KEY", "db", "key", true),
				configKey("ANIMAL", "other", "ANIMAL", true), configKey("KEY", "app", "COLOR", true),
				value("REFERS", "$(NO_MAP)$(KEY)"),
			},
			has: map[string]string{"ANIMAL": "cat", "KEY": "blue", "REFERS": "$(NO_MAP)blue"},
		},
		{
			name: "fields",
			env: []corev1.EnvVar{
				field("NAME", "metadata.name"), field("NAMESPACE", "metadata.namespace"), field("UID", "metadata.uid"),
				field("LABEL", "metadata.labels['app.example.com/tier']"), field("NO_LABEL", "metadata.labels['none']"),
				field("ANNOTATION", "metadata.annotations['example.com/Note']"), field("NODE", "spec.nodeName"),
				field("ACCOUNT", "spec.serviceAccountName"), field("HOST_IP", "status.hostIP"), field("HOST_IPS", "status.hostIPs"),
				field("POD_IP", "status.podIP"), field("POD_IPS", "status.podIPs"), value("URL", "http://$(POD_IP):8080/$(NAME)"),
			},
			edit: func(pod *corev1.Pod) {
				pod.Labels = map[string]string{"app.example.com/tier": "front"}
				pod.Annotations = map[string]string{"example.com/Note": awkward()["QUOTES"] + awkward()["LINES"]}
			},
			has: map[string]string{"NAME": "fields", "LABEL": "front", "NO_LABEL": "", "ACCOUNT": "default"},
		},
		{
			name: "limits",
			env: []corev1.EnvVar{
				resourceOf("CPU", "", "limits.cpu", ""), resourceOf("CPU_MILLI", "", "limits.cpu", "1m"),
				resourceOf("MEMORY", "", "limits.memory", ""), resourceOf("MEMORY_MI", "peer", "limits.memory", "1Mi"),
				resourceOf("MEMORY_M", "peer", "limits.memory", "1M"),
				resourceOf("STORAGE", "", "limits.ephemeral-storage", "1Ki"), resourceOf("REQUEST", "", "requests.cpu", "1m"),
				resourceOf("OTHER", "beside", "limits.memory", "1Mi"), resourceOf("OTHER_REQUEST", "beside", "requests.memory", ""),
			},
			edit: func(pod *corev1.Pod) {
				beside := another(pod, "beside")
				beside.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("77Mi")}
				beside.Env = append(beside.Env, resourceOf("PEER_CPU", "peer", "limits.cpu", "1m"), resourceOf("OWN", "", "limits.memory", "1Mi"))
				pod.Spec.Containers = append(pod.Spec.Containers, *beside)
				pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{Limits: quantities("1250m", "100Mi", "1Gi"), Requests: quantities("5m", "10Mi", "1Mi")}
			},
			has: map[string]string{"CPU": "2", "CPU_MILLI": "1250", "MEMORY_MI": "100", "MEMORY_M": "105", "OTHER": "77", "OTHER_REQUEST": "80740352"},
		},
		{
			name: "unlimited",
			env: []corev1.EnvVar{
				resourceOf("CPU", "", "limits.cpu", "1m"), resourceOf("MEMORY", "", "limits.memory", ""), resourceOf("MEMORY_MI", "", "limits.memory", "1Mi"),
				resourceOf("STORAGE", "", "limits.ephemeral-storage", ""), resourceOf("REQUEST", "", "requests.cpu", ""),
				resourceOf("MEMORY_REQUEST", "", "requests.memory", "1Mi"),
			},
			has: map[string]string{"REQUEST": "0", "MEMORY_REQUEST": "0"},
		},
		{
			name: "limited-as-a-pod",
			env: []corev1.EnvVar{
				resourceOf("CPU", "", "limits.cpu", "1m"), resourceOf("MEMORY_MI", "", "limits.memory", "1Mi"),
				resourceOf("STORAGE", "", "limits.ephemeral-storage", ""), resourceOf("REQUEST", "", "requests.cpu", "1m"),
			},
			edit: func(pod *corev1.Pod) {
				limits := quantities("300m", "90Mi", "1Gi")
				delete(limits, corev1.ResourceEphemeralStorage)
				pod.Spec.Resources = &corev1.ResourceRequirements{Limits: limits, Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("3m"), corev1.ResourceMemory: resource.MustParse("10Mi"),
				}}
			},
		},
		{
			name: "links",
			env: []corev1.EnvVar{
				value("ORDERS", "$(ORDERS_PORT) at $(ORDERS_SERVICE_HOST):$(ORDERS_SERVICE_PORT)"), value("DB_MAIN_SERVICE_HOST", "elsewhere"),
				value("DB", "$(DB_MAIN_SERVICE_HOST):$(DB_MAIN_SERVICE_PORT_METRICS_HTTP)"), value("HEADLESS", "$(HEADLESS_SERVICE_HOST)"),
				value("API", "$(KUBERNETES_SERVICE_HOST)"),
			},
			edit: func(pod *corev1.Pod) { pod.Spec.EnableServiceLinks = &yes },
			has:  map[string]string{"DB": "elsewhere:9187", "HEADLESS": "$(HEADLESS_SERVICE_HOST)", "ORDERS_SERVICE_PORT": "80"},
		},
		{
			name: "no-links",
			env:  []corev1.EnvVar{value("ORDERS", "$(ORDERS_SERVICE_HOST)"), value("API", "$(KUBERNETES_PORT)")},
			edit: func(pod *corev1.Pod) { pod.Spec.EnableServiceLinks = &no },
			has:  map[string]string{"ORDERS": "$(ORDERS_SERVICE_HOST)"},
		},
		{
			name: "init",
			edit: func(pod *corev1.Pod) {
				always := corev1.ContainerRestartPolicyAlways
				first, sidecar := another(pod, "first"), another(pod, "sidecar")
				first.Args = []string{"environ"}
				first.EnvFrom = []corev1.EnvFromSource{configMapSource("INIT_", "other", false)}
				first.Env = append(first.Env, field("NAME", "metadata.name"), field("IP", "status.podIP"), value("SEEN", "$(INIT_COLOR)$(COLOR)"))
				sidecar.RestartPolicy = &always
				sidecar.Env = append(sidecar.Env, secretKey("PEM", "keys", "pem", false))
				pod.Spec.InitContainers = []corev1.Container{*first, *sidecar}
			},
			env: []corev1.EnvVar{value("COLOR", "green")},
			has: map[string]string{"COLOR": "green"},
		},
		{
			name: "several",
			from: []corev1.EnvFromSource{configMapSource("", "app", false)},
			edit: func(pod *corev1.Pod) {
				pod.Annotations = map[string]string{"kubectl.kubernetes.io/default-container": "third"}
				pod.Spec.Containers = append(pod.Spec.Containers, *another(pod, "second"), *another(pod, "third"))
			},
			has: map[string]string{"ANIMAL": "cat"},
		},
		{
			name: "secrets",
			from: []corev1.EnvFromSource{secretSource("", "keys", false), secretSource("KEYS_", "keys", false)},
			env: []corev1.EnvVar{
				secretKey("PASSWORD", "db", "password", false), value("COLOR", "blue"), value("DSN", "postgres://shop:$(PASSWORD)@db-main/shop?pem=$(pem)"),
				secretKey("control", "db", "user", false),
			},
			has: map[string]string{"PASSWORD": "p@$$w0rd$(COLOR)'\"\\", "control": "shop"},
		},
		{
			name: "host-network",
			env:  []corev1.EnvVar{field("POD_IP", "status.podIP"), field("POD_IPS", "status.podIPs"), field("HOST_IP", "status.hostIP"), value("BOTH", "$(POD_IP) $(HOST_IP)")},
			edit: func(pod *corev1.Pod) { pod.Spec.HostNetwork = true },
		},
		{
			name: "rules",
			env: []corev1.EnvVar{
				value("HOME", "/home/app"), value("PATH", "/app/bin"), value("HOSTNAME", "mine"), value("USER", "app"), value("TMPDIR", "/scratch"),
				value("JAVA_HOME", "/opt/java"), value("JAVA_OPTS", "-Xmx1g"), value("XDG_CONFIG_HOME", "/config"), value("LD_LIBRARY_PATH", "/lib"),
				value("KUBERNETES_SERVICE_HOST", "other"), value("KUBERNETES_NAMESPACE", "shop"), value("HOMEPAGE", "$(HOME)/$(KUBERNETES_SERVICE_HOST)"),
			},
			has: map[string]string{"JAVA_OPTS": "-Xmx1g", "HOMEPAGE": "/home/app/other", "KUBERNETES_NAMESPACE": "shop"},
		},
		{
			name: "projected",
			env:  []corev1.EnvVar{field("ACCOUNT", "spec.serviceAccountName"), value("TOKEN_FILE", "/var/run/tokens/$(ACCOUNT)/token")},
			edit: func(pod *corev1.Pod) {
				pod.Spec.ServiceAccountName, pod.Spec.AutomountServiceAccountToken = "builder", &no
				pod.Spec.Volumes = []corev1.Volume{{Name: "all", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
					Sources: []corev1.VolumeProjection{
						{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
						{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "awkward"}}},
					},
				}}}}
				pod.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "all", MountPath: "/var/run/tokens/builder"}}
			},
			has: map[string]string{"TOKEN_FILE": "/var/run/tokens/builder/token"},
		},
		{name: "many", from: []corev1.EnvFromSource{configMapSource("", "many", false)}, has: map[string]string{"V000": "", "V003": "3 3 3 "}},
	}
}

// startAwkward creates a pod.
func (e *env) startAwkward(a awkwardPod) {
	e.Helper()
	template := peerPod(nil, nil, "environ", "--stay")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: a.name}, Spec: template.Spec}
	pod.Spec.Containers[0].EnvFrom, pod.Spec.Containers[0].Env = a.from, a.env
	if a.edit != nil {
		a.edit(pod)
	}
	if _, err := e.client.CoreV1().Pods(e.namespace).Create(e.Context(), pod, metav1.CreateOptions{}); err != nil {
		e.Fatalf("pod %s: %v", a.name, err)
	}
}

// running waits until a pod runs and returns it.
func (e *env) running(name string) *corev1.Pod {
	e.Helper()
	var pod *corev1.Pod
	e.eventually("pod "+name, func() (err error) {
		if pod, err = e.client.CoreV1().Pods(e.namespace).Get(e.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		if pod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("it is %s: %+v", pod.Status.Phase, pod.Status.ContainerStatuses)
		}
		return nil
	})
	return pod
}

// environ returns the environment of a container, as its process has printed it.
func (e *env) environ(pod, container string) map[string]string {
	e.Helper()
	var printed map[string][]byte
	e.eventually("the environment of container "+container+" of pod "+pod, func() error {
		out, err := e.kubectl("logs", pod, "-c", container)
		if err != nil {
			return err
		}
		return json.Unmarshal([]byte(out), &printed)
	})
	variables := make(map[string]string)
	for name, value := range printed {
		variables[name] = string(value)
	}
	return variables
}

// velo runs a command of the plugin that has to work.
func (e *env) velo(args ...string) (stdout, stderr string) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubectl", e.flags(append([]string{"velo"}, args...))...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		e.Fatalf("kubectl velo %s: %v: %s", strings.Join(args, " "), err, said.String())
	}
	return out.String(), said.String()
}

// resolved returns what kubectl velo env prints.
func (e *env) resolved(args ...string) (variables map[string]string, stderr string) {
	e.Helper()
	out, stderr := e.velo(append([]string{"env", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &variables); err != nil {
		e.Fatalf("%v: %s", err, out)
	}
	return variables, stderr
}

// same checks that two environments are, variable by variable.
func (e *env) same(got, want map[string]string) {
	e.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if is, ok := got[name]; !ok {
			e.Errorf("%s is missing; it is %q", name, want[name])
		} else if is != want[name] {
			e.Errorf("%s = %q, not %q", name, is, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			e.Errorf("%s = %q; there is none", name, got[name])
		}
	}
}

func leftOutByRule(name string) bool {
	return slices.ContainsFunc(environment.ContainerRules(), func(rule environment.Rule) bool {
		matches, err := path.Match(rule.Pattern, name)
		return err == nil && matches
	})
}

// withoutRules returns what of a container's environment a laptop gets.
func withoutRules(all map[string]string) map[string]string {
	kept := maps.Clone(all)
	maps.DeleteFunc(kept, func(name, _ string) bool { return leftOutByRule(name) })
	return kept
}

// What kubectl velo env prints is what containers have, variable by variable.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	if _, err := e.client.CoreV1().ServiceAccounts(e.namespace).Create(t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "builder"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	e.createConfiguration()
	pods := awkwardPods()
	for _, pod := range pods {
		e.startAwkward(pod)
	}
	e.startAwkward(awkwardPod{name: "binary", env: []corev1.EnvVar{value("TEXT", "text")}, from: []corev1.EnvFromSource{secretSource("", "binary", false)}})
	containers, compared := 0, 0
	for _, pod := range pods {
		t.Run(pod.name, func(t *testing.T) {
			sub := e.within(t)
			c, v := sub.compareContainers(pod)
			containers += c
			compared += v
		})
	}
	t.Run("binary", func(t *testing.T) { e.within(t).binary() })
	t.Logf("compared %d variables of %d containers of %d pods", compared, containers, len(pods))
	t.Run("what may not be read", func(t *testing.T) { e.unreadable(t) })
	t.Run("bad input", func(t *testing.T) {
		for _, test := range []struct {
			name string
			args []string
			want []string
		}{
			{"container", []string{"pod/init", "-c", "web"}, []string{`no container "web", only peer, first (init), sidecar (init)`}},
			{"pod", []string{"pod/nope"}, []string{`error from server (NotFound): pods "nope" not found`}},
			{"deployment", []string{"deploy/nope"}, []string{`error from server (NotFound): deployments.apps "nope" not found`}},
			{"service", []string{"svc/nope"}, []string{`error from server (NotFound): services "nope" not found`}},
			{"ExternalName", []string{"svc/external"}, []string{"selects no pods", "hint: "}},
			{"no pods", []string{"svc/orders"}, []string{"it has no pods", "hint: "}},
			{"format", []string{"pod/literals", "-o", "docker"}, []string{`"LINES"`, "hint: leave it out with --env-exclude"}},
		} {
			t.Run(test.name, func(t *testing.T) { e.within(t).fails(1, append([]string{"env"}, test.args...), test.want...) })
		}
	})
}

// compareContainers compares the environments of all containers of a pod, and returns how many of both there were.
func (e *env) compareContainers(a awkwardPod) (containers, variables int) {
	e.Helper()
	pod := e.running(a.name)
	for _, container := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		args := []string{"pod/" + a.name, "-c", container.Name}
		is := e.environ(a.name, container.Name)
		laptop, said := e.resolved(args...)
		e.same(laptop, withoutRules(is))
		all, _ := e.resolved(append(args, "--env-include", "*")...)
		for _, name := range []string{"PATH", "HOME", "HOSTNAME"} { // the runtime's, unless the pod sets them
			if !slices.ContainsFunc(container.Env, func(v corev1.EnvVar) bool { return v.Name == name }) {
				delete(is, name)
			} else if !strings.Contains(said, name) {
				e.Errorf("it doesn't say that %s is left out:\n%s", name, said)
			}
		}
		e.same(all, is)
		containers++
		variables += len(is)
		for name, value := range a.has {
			if container.Name == "peer" && all[name] != value {
				e.Errorf("%s = %q, not %q", name, all[name], value)
			}
		}
	}
	if len(pod.Spec.Containers) > 1 {
		_, said := e.resolved("pod/" + a.name)
		if annotated := pod.Annotations != nil; annotated == strings.Contains(said, "container peer is taken") {
			e.Errorf("with an annotation, or without one (%v), it says:\n%s", annotated, said)
		}
	}
	return containers, variables
}

// binary looks at a value that is no text: a shell script can hold it, but JSON can't. That is also what becomes of it in
// the container: runtimes are told of environments in JSON, where every byte that is no text is another character.
func (e *env) binary() {
	e.Helper()
	e.running("binary")
	e.fails(1, []string{"env", "pod/binary", "-o", "json"}, `"RAW": its value isn't UTF-8`)
	script, _ := e.velo("env", "pod/binary", "-o", "shell")
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "env", "-i", "sh", "-c", `eval "$1" && exec env -0`, "sh", script).Output()
	if err != nil {
		e.Fatal(err)
	}
	got := make(map[string]string)
	for one := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		name, value, _ := strings.Cut(one, "=")
		if name != "PWD" && name != "_" && name != "SHLVL" {
			got[name] = value
		}
	}
	if raw := "\xff\xfea\x80"; got["RAW"] != raw {
		e.Errorf("RAW = %q, not %q", got["RAW"], raw)
	}
	got["RAW"] = string([]rune(got["RAW"]))
	e.same(got, withoutRules(e.environ("binary", "peer")))
}

// unreadable is a user who may not read Secrets: all of them are named, and skipped if they may be.
func (e *env) unreadable(t *testing.T) {
	t.Helper()
	u := e.as(t, "viewer", "view")
	u.fails(1, []string{"env", "pod/secrets"},
		"secret/keys can't be read: ", "secret/db can't be read: ", "error from server (Forbidden): ", "hint: go on without what comes from there with --skip-unreadable")
	want := withoutRules(e.environ("secrets", "peer"))
	for _, name := range []string{"KEYS_pem", "KEYS_control", "pem", "control", "PASSWORD"} {
		delete(want, name)
	}
	want["DSN"] = "postgres://shop:$(PASSWORD)@db-main/shop?pem=$(pem)"
	got, said := u.resolved("pod/secrets", "--skip-unreadable")
	u.same(got, want)
	for _, name := range []string{"secret/db", "secret/keys"} {
		if !strings.Contains(said, "going on without "+name) {
			t.Errorf("it doesn't say that it goes on without %s:\n%s", name, said)
		}
	}
	u.fails(1, []string{"env", "pod/unlimited"}, "node/", "can't be read", "--skip-unreadable")
	got, _ = u.resolved("pod/unlimited", "--skip-unreadable")
	for _, name := range []string{"CPU", "MEMORY", "MEMORY_MI", "STORAGE"} {
		if is, ok := got[name]; ok {
			t.Errorf("%s = %q, though the node can't be read", name, is)
		}
	}
	// What needs neither works without ado.
	got, said = u.resolved("pod/fields")
	u.same(got, withoutRules(e.environ("fields", "peer")))
	if said != "" {
		t.Errorf("it says:\n%s", said)
	}
}

// The environment of a workload is that of its pods, or of its pod template where it has none.
func TestEnvironmentOfWorkloads(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.createService("web", tcpPort("http", 80, intstr.FromInt32(8080)))
	template := func(label string) corev1.PodTemplateSpec {
		template := peerPod(map[string]string{"app": label, "part-of": "shop"}, nil, "environ", "--stay")
		template.Spec.Containers[0].Env = []corev1.EnvVar{field("NAME", "metadata.name"), field("APP", "metadata.labels['app']"), value("ME", "$(NAME)")}
		return template
	}
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	shop := &metav1.LabelSelector{MatchLabels: map[string]string{"part-of": "shop"}} // all have the same
	two, none, hourly := int32(2), int32(0), "0 * * * *"
	apps, batch := e.client.AppsV1(), e.client.BatchV1()
	once := template("job")
	once.Spec.RestartPolicy, once.Spec.Containers[0].Args = corev1.RestartPolicyNever, []string{"environ"}
	_, err := apps.Deployments(e.namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: named("web"), Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: shop, Template: template("web")},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = apps.Deployments(e.namespace).Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: named("asleep"), Spec: appsv1.DeploymentSpec{Replicas: &none, Selector: shop, Template: template("asleep")},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = apps.StatefulSets(e.namespace).Create(t.Context(), &appsv1.StatefulSet{
		ObjectMeta: named("db"), Spec: appsv1.StatefulSetSpec{ServiceName: "db", Selector: shop, Template: template("db")},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = apps.DaemonSets(e.namespace).Create(t.Context(), &appsv1.DaemonSet{
		ObjectMeta: named("agent"), Spec: appsv1.DaemonSetSpec{Selector: shop, Template: template("agent")},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = batch.Jobs(e.namespace).Create(t.Context(), &batchv1.Job{ObjectMeta: named("once"), Spec: batchv1.JobSpec{Template: once}}, metav1.CreateOptions{})
	must(t, err)
	_, err = batch.CronJobs(e.namespace).Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: named("hourly"),
		Spec:       batchv1.CronJobSpec{Schedule: hourly, JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: once}}},
	}, metav1.CreateOptions{})
	must(t, err)
	for kind, name := range map[string]string{"deployment": "web", "statefulset": "db", "daemonset": "agent"} {
		if _, err := e.kubectl("rollout", "status", kind, name, "--timeout=60s"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.kubectl("wait", "job/once", "--for=condition=Complete", "--timeout=60s"); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ arg, app, pod string }{
		{"deploy/web", "web", "web-"},
		{"deployment.apps/web", "web", "web-"},
		{"deployment/asleep", "asleep", ""},
		{"sts/db", "db", "db-0"},
		{"ds/agent", "agent", "agent-"},
		{"job.batch/once", "job", "once-"},
		{"cronjob/hourly", "job", ""},
		{"svc/web", "web", "web-"},
	}
	check := func(t *testing.T, arg, app, pod string) {
		t.Helper()
		got, said := e.within(t).resolved(arg)
		if got["APP"] != app || got["ME"] != got["NAME"] || (pod == "") != (got["NAME"] == "") || !strings.HasPrefix(got["NAME"], pod) {
			t.Errorf("got %v", got)
		}
		if (pod == "") != strings.Contains(said, "has no pod that runs") {
			t.Errorf("it says:\n%s", said)
		}
		if pod == "" {
			return
		}
		e.within(t).same(got, withoutRules(e.within(t).environ(got["NAME"], "peer")))
	}
	for _, test := range tests {
		t.Run(test.arg, func(t *testing.T) { check(t, test.arg, test.app, test.pod) })
	}
	t.Run("intercepted", func(t *testing.T) {
		v := e.within(t).intercept("web", "--port", "1:80")
		for _, arg := range []string{"svc/web", "deploy/web"} {
			check(t, arg, "web", "web-")
		}
		v.interrupt()
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
