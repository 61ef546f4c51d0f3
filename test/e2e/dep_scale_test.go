// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// What hundreds of dependencies may cost over a few.
const (
	fewDependencies  = 2
	manyDependencies = 200
	slowerBy         = 2 * time.Second
	largerBy         = 100_000 // bytes, for each dependency
)

// cost is what a session takes until its COMMAND starts, and how large the plugin is once each dependency was used.
type cost struct {
	start time.Duration
	size  int
}

// A program with many dependencies starts about as soon as one with a few, and all of them work. It is no parallel test,
// as it measures.
func TestManyDependencies(t *testing.T) {
	e := newEnv(t, nil)
	labels := map[string]string{"app": "web"}
	var environment []corev1.EnvVar
	for i := range manyDependencies {
		name := fmt.Sprintf("dependency-%03d", i)
		e.createServiceObject(&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{tcpPort("", 8080, intstr.FromInt32(8080))}},
		})
		environment = append(environment, corev1.EnvVar{Name: fmt.Sprintf("DEPENDENCY_%03d_URL", i), Value: "http://" + name + ":8080/"})
	}
	e.deployPeer("web", 1, nil, "--http=:8080")
	e.endpointsOf(manyDependencies)
	e.deployCaller()
	e.served("http://dependency-000:8080/")
	e.served(fmt.Sprintf("http://dependency-%03d:8080/", manyDependencies-1))
	e.deployApp("few", environment[:fewDependencies]...)
	e.deployApp("many", environment...)
	few, many := make([]cost, 3), make([]cost, 3)
	for i := range few {
		few[i] = e.costOf("deployment/few", fewDependencies)
		many[i] = e.costOf("deployment/many", manyDependencies)
	}
	start := func(c cost) time.Duration { return c.start }
	size := func(c cost) int { return c.size }
	slower := median(many, start) - median(few, start)
	larger := (median(many, size) - median(few, size)) / (manyDependencies - fewDependencies)
	t.Logf("%d dependencies: start after %v, %d bytes; %d: %v, %d bytes; later by %v, larger by %d bytes for each", fewDependencies,
		median(few, start), median(few, size), manyDependencies, median(many, start), median(many, size), slower, larger)
	if slower > slowerBy {
		t.Errorf("it starts later by %v, more than %v", slower, slowerBy)
	}
	if larger > largerBy {
		t.Errorf("it is larger by %d bytes for each, more than %d", larger, largerBy)
	}
	e.nothingStays()
}

// endpointsOf waits until so many Services have a pod to lead to. Each is an object of its own, for which controllers may make
// only so many requests in a second.
func (e *env) endpointsOf(services int) {
	e.Helper()
	e.eventually("endpoints of all services", func() error {
		endpoints, err := e.client.DiscoveryV1().EndpointSlices(e.namespace).List(e.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		ready := make(map[string]bool)
		for _, slice := range endpoints.Items {
			if len(slice.Endpoints) > 0 && *slice.Endpoints[0].Conditions.Ready {
				ready[slice.Labels[discoveryv1.LabelServiceName]] = true
			}
		}
		if len(ready) < services {
			return fmt.Errorf("only %d have", len(ready))
		}
		return nil
	})
}

func median[T any, V int | time.Duration](all []T, of func(T) V) V {
	values := make([]V, len(all))
	for i, one := range all {
		values[i] = of(one)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (e *env) costOf(workload string, dependencies int) cost {
	e.Helper()
	started := time.Now()
	d := e.talk("run", workload, "--", "sh", "-c", "echo && peer urls && exec cat")
	d.line()
	c := cost{start: time.Since(started)}
	var answered map[string]named
	d.tells(&answered)
	if len(answered) != dependencies {
		e.Errorf("%s: %d dependencies answered, not %d", workload, len(answered), dependencies)
	}
	c.size = residentSize(e.T, d.cmd.Process.Pid)
	if listed := len(e.dependencies().Items); listed != dependencies {
		e.Errorf("%s: deps lists %d dependencies, not %d", workload, listed, dependencies)
	}
	d.done(0)
	return c
}

// residentSize is how many bytes of memory a process takes; see proc_pid_status(5).
func residentSize(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("this system doesn't tell how large a process is: %v", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	size, _, _ := strings.Cut(strings.TrimSpace(rest), " kB")
	n, err := strconv.Atoi(size)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
