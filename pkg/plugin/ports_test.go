// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestParsePortFlag(t *testing.T) {
	tests := []struct {
		value string
		want  portFlag
		err   string // part of it
	}{
		{value: "3002:21458", want: portFlag{3002, "21458"}},
		{value: "3002:http", want: portFlag{3002, "http"}},
		{value: "8080", want: portFlag{8080, "8080"}},
		{value: "http", want: portFlag{0, "http"}},
		{value: "h2-80", want: portFlag{0, "h2-80"}},
		{value: "1:1", want: portFlag{1, "1"}},
		{value: "65535:65535", want: portFlag{65535, "65535"}},
		{value: "03002:080", want: portFlag{3002, "80"}},
		{value: "3002:8080-a-long-name-of-a-port", want: portFlag{3002, "8080-a-long-name-of-a-port"}},

		{value: "", err: "want LOCAL:REMOTE"},
		{value: ":", err: "want LOCAL:REMOTE"},
		{value: "1:", err: "want LOCAL:REMOTE"},
		{value: ":1", err: "want LOCAL:REMOTE"},
		{value: "1:2:3", err: "want LOCAL:REMOTE"},
		{value: "::", err: "want LOCAL:REMOTE"},
		{value: "3002-21458", err: "want LOCAL:REMOTE"},
		{value: "-1", err: "want LOCAL:REMOTE"},
		{value: "1:2-3", err: "REMOTE is neither"},
		{value: "a:b", err: `LOCAL "a" is no port number`},
		{value: "0:1", err: `LOCAL "0" is no port number`},
		{value: "70000:1", err: `LOCAL "70000" is no port number`},
		{value: "-1:2", err: `LOCAL "-1" is no port number`},
		{value: "+1:2", err: `LOCAL "+1" is no port number`},
		{value: " 1:2", err: `LOCAL " 1" is no port number`},
		{value: "1:0", err: `REMOTE "0" is no port number`},
		{value: "0", err: `REMOTE "0" is no port number`},
		{value: "1:70000", err: `REMOTE "70000" is no port number`},
		{value: "1:99999999999999999999", err: `REMOTE "99999999999999999999" is no port number`},
		{value: "1:-2", err: "REMOTE is neither"},
		{value: "1:+2", err: "REMOTE is neither"},
		{value: "1:HTTP", err: "REMOTE is neither"},
		{value: "1:ht tp", err: "REMOTE is neither"},
		{value: "1:" + strings.Repeat("a", 64), err: "REMOTE is neither"},
	}
	for _, tt := range tests {
		t.Run(tt.value, func(t *testing.T) {
			got, err := parsePortFlag(tt.value)
			if tt.err != "" {
				if _, ok := errors.AsType[*usageError](err); !ok || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), strconv.Quote(tt.value)) {
					t.Errorf("parsePortFlag = %+v, %v; want a usageError with %q", got, err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("parsePortFlag = %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// What is taken must be ports that there may be, and mean the same when it is written again.
func FuzzParsePortFlag(f *testing.F) {
	for _, value := range []string{"3002:21458", "3002:http", "8080", "http", "a:b", "0:1", "70000:1", ":", "1:2:3", "", "1:", ":1", "007:08", "1:+2", "1:é"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		p, err := parsePortFlag(value)
		if err != nil {
			if _, ok := errors.AsType[*usageError](err); !ok || exitCode(err) != exitUsage {
				t.Fatalf("%v is no usageError", err)
			}
			return
		}
		if p.remote == "" || strings.ContainsAny(p.remote, ": \n") {
			t.Fatalf("REMOTE is %q", p.remote)
		}
		if n, err := strconv.Atoi(p.remote); err == nil && (n < 1 || n > 65535) {
			t.Fatalf("REMOTE is %d", n)
		}
		again := p.remote
		if p.local != 0 {
			again = strconv.Itoa(int(p.local)) + ":" + p.remote
		}
		if q, err := parsePortFlag(again); err != nil || q != p {
			t.Fatalf("parsed %+v, wrote %q, parsed %+v, %v", p, again, q, err)
		}
	})
}

func port(name string, number int32, target intstr.IntOrString) corev1.ServicePort {
	return corev1.ServicePort{Name: name, Protocol: corev1.ProtocolTCP, Port: number, TargetPort: target}
}

func udp(p corev1.ServicePort) corev1.ServicePort {
	p.Protocol = corev1.ProtocolUDP
	return p
}

func byName(name string) intstr.IntOrString    { return intstr.FromString(name) }
func byNumber(number int32) intstr.IntOrString { return intstr.FromInt32(number) }

func podOf(age time.Duration, ports ...corev1.ContainerPort) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "sidecar"}, {Name: "app", Ports: ports}}},
	}
}

func TestServicePorts(t *testing.T) {
	web := corev1.ContainerPort{Name: "web", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}
	tests := []struct {
		name string
		port corev1.ServicePort
		pods []corev1.Pod
		want uint16
	}{
		{"target by number", port("", 80, byNumber(21458)), nil, 21458},
		{"no target", corev1.ServicePort{Port: 80}, nil, 80},
		{"target by name", port("", 80, byName("web")), []corev1.Pod{podOf(0, web)}, 8080},
		{"no protocol is TCP", port("", 80, byName("web")), []corev1.Pod{podOf(0, corev1.ContainerPort{Name: "web", ContainerPort: 8080})}, 8080},
		{"name of another protocol", udp(port("", 80, byName("web"))), []corev1.Pod{podOf(0, web)}, 80},
		{"name of another port", port("", 80, byName("admin")), []corev1.Pod{podOf(0, web)}, 80},
		{"no pods", port("", 80, byName("web")), nil, 80},
		{
			"the newest pod's", port("", 80, byName("web")),
			[]corev1.Pod{
				podOf(2*time.Hour, corev1.ContainerPort{Name: "web", ContainerPort: 1}),
				podOf(time.Hour, corev1.ContainerPort{Name: "web", ContainerPort: 2}),
				podOf(3*time.Hour, corev1.ContainerPort{Name: "web", ContainerPort: 3}),
			},
			2,
		},
		{
			"a sidecar's that is an init container", port("", 80, byName("web")),
			[]corev1.Pod{{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Ports: []corev1.ContainerPort{web}}}}}},
			8080,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := servicePorts(&corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{tt.port}}}, tt.pods)
			if len(got) != 1 || got[0].container != tt.want {
				t.Errorf("servicePorts = %+v, want container port %d", got, tt.want)
			}
			if got[0].Protocol == "" {
				t.Error("the port has no protocol")
			}
		})
	}
}

// shop has a port of every kind.
func shop() []servicePort {
	return servicePorts(
		&corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{
			port("http", 80, byName("web")),
			port("http-alt", 8000, byName("web")),
			port("admin", 9000, byNumber(9001)),
			port("metrics", 9001, byNumber(9100)),
			udp(port("dns", 53, byNumber(5353))),
			port("dns-tcp", 53, byNumber(5354)),
			udp(port("syslog", 514, byName("log"))),
		}}},
		[]corev1.Pod{podOf(0, corev1.ContainerPort{Name: "web", ContainerPort: 8080})},
	)
}

func TestFindPort(t *testing.T) {
	tests := []struct {
		name, remote string
		want         []string // names
		err          string
	}{
		{name: "by number", remote: "9000", want: []string{"admin"}},
		{name: "by name", remote: "metrics", want: []string{"metrics"}},
		{name: "by target port's number", remote: "9100", want: []string{"metrics"}},
		{name: "by target port's name", remote: "web", want: []string{"http", "http-alt"}},
		{name: "by the number behind that name", remote: "8080", want: []string{"http", "http-alt"}},
		{name: "with what leads to the same container port", remote: "80", want: []string{"http", "http-alt"}},
		{name: "TCP rather than UDP", remote: "53", want: []string{"dns-tcp"}},
		{
			name: "ambiguous", remote: "9001",
			err: "port 9001 of service shop/cart is ambiguous; name the one you mean:\n" +
				"  9000 (admin), container port 9001\n" +
				"  9001 (metrics), container port 9100",
		},
		{name: "UDP", remote: "514", err: "port 514 (syslog) of service shop/cart is UDP, which can't be intercepted: it stays with its pods"},
		{name: "UDP by name", remote: "dns", err: "port 53 (dns) of service shop/cart is UDP, which can't be intercepted: it stays with its pods"},
		{
			name: "no such port", remote: "1234",
			err: "service shop/cart has no port 1234; its ports are:\n" +
				"  80 (http), target port web, container port 8080\n" +
				"  8000 (http-alt), target port web, container port 8080\n" +
				"  9000 (admin), container port 9001\n" +
				"  9001 (metrics), container port 9100\n" +
				"  53 (dns), container port 5353, UDP\n" +
				"  53 (dns-tcp), container port 5354\n" +
				"  514 (syslog), target port log, UDP",
		},
		{name: "part of a name", remote: "htt", err: "service shop/cart has no port htt;"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := findPort("shop/cart", shop(), tt.remote)
			if tt.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
					t.Errorf("findPort = %v, %v\nwant the error %s", got, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range got {
				names = append(names, p.Name)
			}
			if !slices.Equal(names, tt.want) {
				t.Errorf("findPort = %q, want %q", names, tt.want)
			}
		})
	}
}

func TestFindUnnamedPort(t *testing.T) {
	ports := servicePorts(&corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{port("", 80, byNumber(80))}}}, nil)
	if _, err := findPort("shop/cart", ports, "81"); err == nil || err.Error() != "service shop/cart has no port 81; its ports are:\n  80" {
		t.Errorf("findPort: %v", err)
	}
	if got, err := findPort("shop/cart", ports, "80"); err != nil || len(got) != 1 {
		t.Errorf("findPort = %v, %v", got, err)
	}
}

func TestChoosePorts(t *testing.T) {
	type route struct {
		name  string
		local uint16
	}
	tests := []struct {
		name  string
		flags []string
		want  []route
		err   string
		usage bool
	}{
		{
			name: "all TCP ports, without flags",
			want: []route{{"http", 8080}, {"http-alt", 8080}, {"admin", 9001}, {"metrics", 9100}, {"dns-tcp", 5354}},
		},
		{name: "one, at the container port's number", flags: []string{"admin"}, want: []route{{"admin", 9001}}},
		{name: "one, elsewhere", flags: []string{"3002:9000"}, want: []route{{"admin", 3002}}},
		{name: "two", flags: []string{"3002:admin", "3003:metrics"}, want: []route{{"admin", 3002}, {"metrics", 3003}}},
		{name: "two that lead to the same container port", flags: []string{"3002:80"}, want: []route{{"http", 3002}, {"http-alt", 3002}}},
		{
			name: "the same port twice", flags: []string{"3002:admin", "3003:9000"},
			err: "--port names port 9000 (admin) of service shop/cart twice", usage: true,
		},
		{
			name: "the same container port twice", flags: []string{"3002:http", "3003:http-alt"},
			err: "--port names port 80 (http) of service shop/cart twice", usage: true,
		},
		{
			name: "the same local port twice, once by default", flags: []string{"9001:metrics", "admin"},
			err: "--port gives local port 9001 to two ports of service shop/cart", usage: true,
		},
		{name: "no such port", flags: []string{"3002:admin", "1234"}, err: "service shop/cart has no port 1234"},
		{name: "UDP", flags: []string{"dns"}, err: "port 53 (dns) of service shop/cart is UDP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var flags []portFlag
			for _, value := range tt.flags {
				flag, err := parsePortFlag(value)
				if err != nil {
					t.Fatal(err)
				}
				flags = append(flags, flag)
			}
			got, err := choosePorts("shop/cart", shop(), flags)
			if tt.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
					t.Errorf("choosePorts = %v, %v; want the error %q", got, err, tt.err)
				}
				if _, ok := errors.AsType[*usageError](err); ok != tt.usage {
					t.Errorf("%v is a usageError: %v", err, ok)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var routes []route
			for _, p := range got {
				routes = append(routes, route{p.Name, p.local})
			}
			if !slices.Equal(routes, tt.want) {
				t.Errorf("choosePorts = %v, want %v", routes, tt.want)
			}
		})
	}
}

// What is wrong with several flags is said of all of them.
func TestChoosePortsAllProblems(t *testing.T) {
	_, err := choosePorts("shop/cart", shop(), []portFlag{{remote: "1234"}, {remote: "dns"}, {local: 5, remote: "admin"}})
	if err == nil || !strings.Contains(err.Error(), "no port 1234") || !strings.Contains(err.Error(), "53 (dns)") {
		t.Errorf("choosePorts: %v", err)
	}
}

func TestChoosePortsOnlyUDP(t *testing.T) {
	ports := servicePorts(&corev1.Service{Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{udp(port("dns", 53, byNumber(53)))}}}, nil)
	if got, err := choosePorts("shop/dns", ports, nil); err == nil || err.Error() != "service shop/dns has no TCP port: UDP can't be intercepted" {
		t.Errorf("choosePorts = %v, %v", got, err)
	}
}

func TestRoutes(t *testing.T) {
	all := shop()
	s := &session{all: all, ports: []interceptedPort{{all[2], 3002, "9000"}, {all[5], 5354, ""}}}
	want := "9000 (admin) → localhost:3002, 53 (dns-tcp) → localhost:5354, 80 (http) stays with its pods, " +
		"8000 (http-alt) stays with its pods, 9001 (metrics) stays with its pods, 53 (dns) stays with its pods, " +
		"514 (syslog) stays with its pods"
	if got := s.routes(); got != want {
		t.Errorf("routes = %q, want %q", got, want)
	}
}

// A port is called as its user does, and as the Service does.
func TestInterceptedPortTitle(t *testing.T) {
	tests := []struct {
		name  string
		flags []string
		want  string
	}{
		{"without --port", nil, "80 (http), 8000 (http-alt), 9000 (admin), 9001 (metrics), 53 (dns-tcp)"},
		{"the Service's number", []string{"3002:9000"}, "9000 (admin)"},
		{"the Service's name", []string{"3002:admin"}, "9000 (admin)"},
		{"the container's number", []string{"3002:9100"}, "9001 (metrics, container port 9100)"},
		{"the container's number, for two", []string{"3002:8080"}, "80 (http, container port 8080), 8000 (http-alt, container port 8080)"},
		{"the container's name", []string{"web"}, "80 (http, target port web), 8000 (http-alt, target port web)"},
		{"one that another comes along with", []string{"3002:80"}, "80 (http), 8000 (http-alt)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var flags []portFlag
			for _, value := range tt.flags {
				flag, err := parsePortFlag(value)
				if err != nil {
					t.Fatal(err)
				}
				flags = append(flags, flag)
			}
			ports, err := choosePorts("shop/cart", shop(), flags)
			if err != nil {
				t.Fatal(err)
			}
			var titles []string
			for _, port := range ports {
				titles = append(titles, port.title())
			}
			if got := strings.Join(titles, ", "); got != tt.want {
				t.Errorf("the titles are %q, want %q", got, tt.want)
			}
		})
	}
	unnamed := interceptedPort{servicePort{port("", 80, byNumber(21458)), 21458}, 3002, "21458"}
	if got, want := unnamed.title(), "80 (container port 21458)"; got != want {
		t.Errorf("the title is %q, want %q", got, want)
	}
}
