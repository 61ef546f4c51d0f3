// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-velo/kubectl-velo/pkg/livesession"
)

func TestForwardArguments(t *testing.T) {
	eighty := portArgument{local: 80, remote: "80"}
	tests := []struct {
		name    string
		args    []string
		targets []targetArgument
		command []string
	}{
		{name: "a pod", args: []string{"web", "80"}, targets: []targetArgument{{"web", []portArgument{eighty}}}},
		{
			name: "several ports", args: []string{"svc/web", "80", "8080:80", ":80", "0:80", "http", ":http", "8081:http"},
			targets: []targetArgument{{"svc/web", []portArgument{
				eighty, {8080, true, "80"}, {0, true, "80"}, {0, true, "80"}, {0, false, "http"}, {0, true, "http"}, {8081, true, "http"},
			}}},
		},
		{
			name: "several targets", args: []string{"svc/a", "80", "svc/b", "81:http", "82"},
			targets: []targetArgument{{"svc/a", []portArgument{eighty}}, {"svc/b", []portArgument{{81, true, "http"}, {82, false, "82"}}}},
		},
		{
			name: "labels", args: []string{"-l", "app=web", "80"},
			targets: []targetArgument{{"", []portArgument{eighty}}},
		},
		{name: "everything", args: []string{"--all"}},
		{
			name: "a command", args: []string{"web", "80", "--", "go", "test", "svc/x"},
			targets: []targetArgument{{"web", []portArgument{eighty}}}, command: []string{"go", "test", "svc/x"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, _, _, _ := genericiooptions.NewTestIOStreams()
			cmd := newForwardCommand(genericclioptions.NewConfigFlags(true), nil, streams)
			if err := cmd.ParseFlags(tt.args); err != nil {
				t.Fatal(err)
			}
			o := &forwardOptions{}
			o.all, _ = cmd.Flags().GetBool("all")
			o.selector, _ = cmd.Flags().GetString("selector")
			if err := o.takeArguments(cmd, cmd.Flags().Args()); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(o.targets, tt.targets) || !slices.Equal(o.command, tt.command) {
				t.Errorf("targets are %+v and the command %q, want %+v and %q", o.targets, o.command, tt.targets, tt.command)
			}
		})
	}
}

func TestListenAddresses(t *testing.T) {
	tests := []struct {
		name   string
		values []string
		want   string
	}{
		{"localhost", []string{"localhost"}, "127.0.0.1? ::1?"},
		{"one IP", []string{"0.0.0.0"}, "0.0.0.0"},
		{"several", []string{"localhost", "10.0.0.1", "fe80::1"}, "127.0.0.1? ::1? 10.0.0.1 fe80::1"},
		{"one of localhost's, too", []string{"localhost", "127.0.0.1"}, "127.0.0.1 ::1?"},
		{"twice", []string{"::1", "localhost", "::1"}, "::1 127.0.0.1?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, err := listenAddresses(tt.values)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range all {
				text := a.String()
				if a.either {
					text += "?"
				}
				got = append(got, text)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("addresses are %v, want %s", got, tt.want)
			}
		})
	}
}

func TestListenAtAll(t *testing.T) {
	localhost, err := listenAddresses([]string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	listeners, err := listenAtAll(t.Context(), localhost, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(listeners)
	port := listeners[0].Addr().(*net.TCPAddr).Port
	for _, l := range listeners {
		if got := l.Addr().(*net.TCPAddr).Port; got != port {
			t.Errorf("ports are %d and %d", port, got)
		}
	}
	taken, err := listenAtAll(t.Context(), localhost, uint16(port))
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "unable to listen on port "+strconv.Itoa(port)) || hintOf("", err) == "" {
		t.Errorf("listening at a port that is taken: %v, hint %q", err, hintOf("", err))
	}
	closeAll(taken)
	foreign, err := listenAddresses([]string{"192.0.2.1"}) // of documentation, RFC 5737
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenAtAll(t.Context(), foreign, 0); err == nil || !strings.Contains(hintOf("", err), "--address") {
		t.Errorf("listening at an address of somebody else: %v, hint %q", err, hintOf("", err))
	}
}

func TestForwardedPorts(t *testing.T) {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "shop"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Ports: []corev1.ContainerPort{
			{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP},
			{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP},
			{Name: "both", ContainerPort: 54, Protocol: corev1.ProtocolUDP},
			{Name: "both-tcp", ContainerPort: 54, Protocol: corev1.ProtocolTCP},
		}}}},
	}
	web := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"},
		Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1", Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{
			{Name: "web", Port: 80, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("http")},
			{Name: "plain", Port: 81, TargetPort: intstr.FromInt32(8081)},
			{Name: "same", Port: 82, Protocol: corev1.ProtocolTCP},
			{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP},
			{Name: "lost", Port: 83, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromString("nothing")},
		}},
	}
	headless := web.DeepCopy()
	headless.Spec.ClusterIP = corev1.ClusterIPNone
	c := &cluster{client: fake.NewClientset(pod, web), namespace: "shop"}
	serviceTarget := func(s *corev1.Service) *forwardTarget {
		target, err := c.forwardToService(s)
		if err != nil {
			t.Fatal(err)
		}
		return target
	}
	ofPod, ofService, ofHeadless := c.forwardToPod("web-1"), serviceTarget(web), serviceTarget(headless)
	tests := []struct {
		name              string
		target            *forwardTarget
		remote            string
		number, container uint16
		err               string
	}{
		{name: "pod's number", target: ofPod, remote: "9999", number: 9999, container: 9999},
		{name: "pod's name", target: ofPod, remote: "http", number: 8080, container: 8080},
		{name: "pod's TCP and UDP", target: ofPod, remote: "54", number: 54, container: 54},
		{name: "pod's UDP", target: ofPod, remote: "dns", err: "UDP protocol is not supported for dns"},
		{name: "no such name of the pod", target: ofPod, remote: "grpc", err: "Pod 'web-1' does not have a named port 'grpc'"},
		{name: "service's number", target: ofService, remote: "80", number: 80, container: 8080},
		{name: "service's name", target: ofService, remote: "web", number: 80, container: 8080},
		{name: "target port by number", target: ofService, remote: "81", number: 81, container: 8081},
		{name: "no target port", target: ofService, remote: "same", number: 82, container: 82},
		{name: "headless", target: ofHeadless, remote: "81", number: 81, container: 81},
		{name: "service's UDP", target: ofService, remote: "53", err: "UDP protocol is not supported for 53"},
		{name: "no such port", target: ofService, remote: "8080", err: "Service web does not have a service port 8080"},
		{name: "no such name of the service", target: ofService, remote: "http", err: "Service 'web' does not have a named port 'http'"},
		{name: "no such name for the service", target: ofService, remote: "lost", err: "Pod 'web-1' does not have a named port 'nothing'"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			port, err := tt.target.remote(tt.remote, pod)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("remote: %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil || port.number != tt.number || port.container != tt.container {
				t.Errorf("remote is %+v, %v", port, err)
			}
		})
	}
}

// A Service that selects other pods is followed.
func TestForwardedServiceChanges(t *testing.T) {
	labelled := func(name, app string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{"app": app}}}
	}
	synctest.Test(t, func(t *testing.T) {
		web := service("shop", "web", "")
		c := &cluster{client: fake.NewClientset(web, labelled("web-1", "web"), labelled("next-1", "next")), namespace: "shop"}
		target, err := c.forwardToService(web)
		if err != nil {
			t.Fatal(err)
		}
		finds := func(want string) {
			t.Helper()
			pods, err := target.Find(t.Context())
			if err != nil || len(pods) != 1 || pods[0].Name != want {
				t.Errorf("found %d pods, %v, want %s", len(pods), err, want)
			}
		}
		finds("web-1")
		changed := web.DeepCopy()
		changed.Spec.Selector["app"] = "next"
		if _, err := c.client.CoreV1().Services("shop").Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		finds("web-1")
		time.Sleep(serviceEvery)
		finds("next-1")
		// One that is gone selects what it did.
		if err := c.client.CoreV1().Services("shop").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(serviceEvery)
		finds("next-1")
	})
}

func TestForwardAllServices(t *testing.T) {
	bare := service("shop", "bare", "")
	bare.Spec.Selector = nil
	own := service("shop", "web-origin", "")
	own.Labels = map[string]string{"app.kubernetes.io/managed-by": "kubectl-velo"}
	outside := service("shop", "outside", "")
	outside.Spec.Type = corev1.ServiceTypeExternalName
	udp := service("shop", "dns", "")
	udp.Spec.Ports[0].Protocol = corev1.ProtocolUDP
	c := &cluster{
		client:    fake.NewClientset(service("shop", "web", ""), service("shop", "cart", annotation), bare, own, outside, udp, service("bank", "ledger", "")),
		namespace: "shop",
	}
	targets, ports, err := c.allServices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, target := range targets {
		got = append(got, target.Name+":"+ports[i][0].remote)
	}
	slices.Sort(got)
	if want := []string{"service/cart:80", "service/web:80"}; !slices.Equal(got, want) {
		t.Errorf("forwards are %v, want %v", got, want)
	}
	if _, _, err := (&cluster{client: fake.NewClientset(bare), namespace: "shop"}).allServices(t.Context()); err == nil {
		t.Error("a namespace without forwards is no error")
	}
}

// forwardingSession is one with a forward that is ready and one that waits. In a test's bubble it is midnight.
func forwardingSession() livesession.Session {
	return livesession.Session{
		ID: "3c4d5e6f", Kind: livesession.PortForward, Context: "prod", Namespace: "shop", Name: "service/web", Since: time.Now().Add(-time.Hour),
		Forwards: []livesession.Forward{
			{
				Name: "service/web", Port: "http", Local: []string{"127.0.0.1:8080", "[::1]:8080"}, Pods: []string{"web-1", "web-2"},
				State: livesession.Ready, StateSince: time.Now().Add(-time.Hour), Reconnects: 3, Connections: 2, BytesSent: 900, BytesReceived: 3 << 20,
				Bypass: &livesession.Bypass{Since: time.Now().Add(-12 * time.Minute), Paths: []string{missedByPath}},
			},
			{
				Name: "pod/db-0", Port: "5432", Local: []string{"127.0.0.1:5432"},
				State: livesession.Waiting, Reason: "it has no pods", StateSince: time.Now().Add(-90 * time.Second),
			},
		},
	}
}

func TestPrintForwards(t *testing.T) {
	const table = `
FORWARD            LOCAL                       STATE             OPEN   SENT   RECEIVED   RECONNECTS   AGE   BYPASS
service/web:http   127.0.0.1:8080,[::1]:8080   ready             2      900B   3.0Mi      3            60m   12m
pod/db-0:5432      127.0.0.1:5432              waiting for 90s   0      0B     0B         0            60m   -
`
	tests := []struct {
		name    string
		options statusOptions
		items   bool
		known   bool
		want    string
		errOut  string
	}{
		{name: "table", options: statusOptions{namespace: "shop"}, known: true, want: table, errOut: "No intercepts found in shop namespace.\n"},
		{name: "intercepts that can't be listed", want: table},
		{
			name: "beside intercepts", items: true, known: true, want: `
SERVICE   OWNER        AGE   EXPIRES
cart      ada@laptop   90m   never
` + table,
		},
		{
			name: "wide, all namespaces", options: statusOptions{output: "wide", allNamespaces: true}, want: `
NAMESPACE   FORWARD            LOCAL                       STATE             OPEN   SENT   RECEIVED   RECONNECTS   AGE   BYPASS   SESSION    PODS          REASON           BROKEN
shop        service/web:http   127.0.0.1:8080,[::1]:8080   ready             2      900B   3.0Mi      3            60m   12m      3c4d5e6f   web-1,web-2   -                ` + missedByPath + `
shop        pod/db-0:5432      127.0.0.1:5432              waiting for 90s   0      0B     0B         0            60m   -        3c4d5e6f   -             it has no pods   -
`,
		},
		{name: "names are of intercepts", options: statusOptions{output: "name"}, want: "\n"},
		{
			name: "json", options: statusOptions{output: "json"}, want: `
{
    "kind": "InterceptList",
    "apiVersion": "kubectl-velo.github.io/v1alpha1",
    "items": [],
    "forwards": [
        {
            "name": "service/web",
            "namespace": "shop",
            "port": "http",
            "local": [
                "127.0.0.1:8080",
                "[::1]:8080"
            ],
            "pods": [
                "web-1",
                "web-2"
            ],
            "session": "3c4d5e6f",
            "since": "1999-12-31T23:00:00Z",
            "state": "ready",
            "stateSince": "1999-12-31T23:00:00Z",
            "reconnects": 3,
            "connections": 2,
            "bytesSent": 900,
            "bytesReceived": 3145728,
            "bypass": {
                "since": "1999-12-31T23:48:00Z",
                "paths": [
                    "ingress shop/web → service shop/web: selector app=web-v2 matches no pod"
                ]
            }
        },
        {
            "name": "pod/db-0",
            "namespace": "shop",
            "port": "5432",
            "local": [
                "127.0.0.1:5432"
            ],
            "session": "3c4d5e6f",
            "since": "1999-12-31T23:00:00Z",
            "state": "waiting",
            "reason": "it has no pods",
            "stateSince": "1999-12-31T23:58:30Z",
            "reconnects": 0,
            "connections": 0,
            "bytesSent": 0,
            "bytesReceived": 0
        }
    ]
}
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := tt.options
				streams, _, out, errOut := genericiooptions.NewTestIOStreams()
				o.streams = streams
				list := newInterceptList()
				if tt.items {
					list.Items = threeIntercepts().Items[:1]
				}
				o.sessions = answering([]livesession.Session{forwardingSession()})
				list.Forwards = o.forwards(t.Context())
				for i := range list.Forwards { // of whichever zone the machine is
					f := &list.Forwards[i]
					f.Since, f.StateSince = metav1.NewTime(f.Since.UTC()), metav1.NewTime(f.StateSince.UTC())
					if f.Bypass != nil {
						f.Bypass.Since = metav1.NewTime(f.Bypass.Since.UTC())
					}
				}
				if err := o.print(list, "shop", tt.known); err != nil {
					t.Fatal(err)
				}
				if got := "\n" + trimLines(out.String()); got != tt.want {
					t.Errorf("printed is %s\nwant%s", got, tt.want)
				}
				if errOut.String() != tt.errOut {
					t.Errorf("stderr: %s", errOut)
				}
			})
		})
	}
}

// Forwards are those of this machine, whatever they forward to, unless a namespace or a context is named.
func TestForwardsShown(t *testing.T) {
	tests := []struct {
		name               string
		namespace, context string
		want               int
	}{
		{"all", "", "", 2},
		{"of a namespace", "shop", "", 2},
		{"of another namespace", "bank", "", 0},
		{"of a context", "", "prod", 2},
		{"of another context", "shop", "test", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			streams, _, _, errOut := genericiooptions.NewTestIOStreams()
			o := &statusOptions{
				namespace: tt.namespace, context: tt.context, streams: streams,
				sessions: answering([]livesession.Session{forwardingSession()}, errors.New("one that hangs")),
			}
			if got := o.forwards(t.Context()); len(got) != tt.want {
				t.Errorf("%d forwards, want %d", len(got), tt.want)
			}
			if errOut.String() != "⚠ one that hangs\n" {
				t.Errorf("stderr: %s", errOut)
			}
		})
	}
}

func TestForwardListDeepCopy(t *testing.T) {
	s := forwardingSession()
	list := &ForwardList{Items: listedForwards(&s)}
	dup, ok := list.DeepCopyObject().(*ForwardList)
	if !ok || !reflect.DeepEqual(dup, list) {
		t.Fatalf("the copy is %v", dup)
	}
	of, was := &dup.Items[0], &list.Items[0]
	of.Local[0], of.Pods[0], of.Bypass.Paths[0] = "changed", "changed", "changed"
	if was.Local[0] == "changed" || was.Pods[0] == "changed" || was.Bypass.Paths[0] == "changed" {
		t.Error("a change of the copy changes the original")
	}
}
