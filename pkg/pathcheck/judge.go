// SPDX-License-Identifier: Apache-2.0

package pathcheck

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// judgeFront says what the answer of a front means.
func (w *walk) judgeFront(c *call, to *tail) Hop {
	hop := Hop{Object: c.of, Check: CheckRequest, Live: true, State: Broken}
	title := c.title(c.address)
	a := c.answer
	switch a.fault {
	case answered:
		hop.State, hop.Message = w.judgeStatus(c.question, title, a.status)
		if hop.State == OK && a.status == http.StatusNotFound && to.finds(c.path) {
			hop.State = Warning
			hop.Message += ", but the Service finds it: the front may not know its rule, or something else answers in its place"
		}
		if a.certificate != nil {
			if state, finding := w.valid(a.certificate, c.host); state != OK {
				hop.State = Worst(hop.State, state)
				hop.Message += "; the certificate that is shown there " + finding
			}
		}
	case unreachable:
		hop.State, hop.Message = Unknown, fmt.Sprintf("%s: it can't be reached from here: %v", title, a.err)
	case refused:
		hop.Message = title + ": the connection is refused"
		if isLoopback(c.address) {
			// Clusters on somebody's own machine have such addresses, which mean nothing on others'.
			hop.State, hop.Message = Unknown, title+": that is this machine's own address, and nothing listens there"
		}
	case silent:
		hop.Message = fmt.Sprintf("%s: there is no answer within %v", title, answerTimeout)
	case dropped:
		hop.Message = title + ": the connection is closed without an answer"
	case untrusted:
		hop.State = Unknown
		hop.Message = title + ": the headers that were given are not sent to somebody whose certificate isn't trusted here"
		if state, finding := w.valid(a.certificate, c.host); state == Broken {
			hop.State, hop.Message = Broken, title+": the certificate that is shown there "+finding
		}
	case strange, forbidden, noEndpoints, other:
		hop.Message = fmt.Sprintf("%s: %v", title, a.err)
	}
	return hop
}

// isLoopback reports whether an address, HOST:PORT, is this machine's own wherever one is.
func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// finds reports whether the Service itself has something at a path.
func (t *tail) finds(path string) bool {
	if t == nil || t.behind == nil || t.behind.path != path || !t.behind.passable() {
		return false
	}
	a := t.behind.service
	return a.fault == answered && a.status != http.StatusNotFound
}

func (w *walk) judgeStatus(q question, title string, status int) (State, string) {
	if q.scheme == schemeTCP {
		return OK, title + " is taken"
	}
	message := title + " is answered with " + strconv.Itoa(status)
	if w.Request.good(status) {
		return OK, message
	}
	if len(w.Request.Expect) > 0 {
		message += ", not with " + ranges(w.Request.Expect)
	}
	return Broken, message
}

// judgeBehind compares what a Service, a pod and its loopback answer.
func (w *walk) judgeBehind(t *tail, b *behind) []Hop {
	hops := []Hop{w.judgeService(t, b)}
	if b.asked == nil {
		return hops
	}
	if t.target == 0 {
		return append(hops, Hop{
			Object: podObject(b.asked), Check: CheckRequest, Live: true, State: Unknown,
			Message: "the number of target port " + t.targetTitle() + " isn't known",
		})
	}
	return append(hops, w.judgePod(t, b), w.judgeLoopback(t, b))
}

// judgeProxied says what an answer means that the API server passed on. The title is what of the object was asked.
func (w *walk) judgeProxied(b *behind, of Object, title string, a answer) Hop {
	hop := Hop{Object: of, Check: CheckRequest, Live: true, State: Broken}
	switch {
	case b.scheme == schemeTCP:
		hop.State, hop.Message = Unknown, title+" can't be asked through the API server: it doesn't look like HTTP"
		return hop
	case b.ownHeader() != "":
		hop.State = Unknown
		hop.Message = title + " can't be asked through the API server, which would take the header " + b.ownHeader() + " for its own"
		return hop
	}
	title = "GET " + b.path + " of " + title + ", through the API server,"
	switch a.fault {
	case answered:
		hop.State, hop.Message = w.judgeStatus(b.question, title, a.status)
	case forbidden:
		needs := right{"get", of.Kind + "s/proxy", of.Namespace}
		hop.State, hop.Hint = Unknown, rightHint(needs)
		hop.Message = title + " takes the right to " + needs.String()
	case noEndpoints:
		hop.Message = title + " finds no endpoints"
	case refused:
		hop.Message = title + " is refused: nothing listens at the pod's address"
	case dropped:
		hop.Message = title + " gets no answer: the connection is closed"
	case strange:
		hop.State, hop.Message = Unknown, title+" gets an answer that isn't HTTP"
	case unreachable, silent:
		// In some clusters the API server reaches no pods, or NetworkPolicies keep it out.
		hop.State, hop.Message = Unknown, title+" gets no answer: the API server may not reach it"
		if b.loopback.fault == silent {
			hop.State, hop.Message = Broken, fmt.Sprintf("%s gets no answer within %v", title, answerTimeout)
		}
	case untrusted, other:
		hop.State, hop.Message = Unknown, fmt.Sprintf("%s fails: %v", title, a.err)
	}
	return hop
}

// judgeService looks at the Service. The API server still goes by its Endpoints, and to pods only: where the EndpointSlices,
// which everybody else goes by, lead somewhere, it tells nothing that it finds no way.
func (w *walk) judgeService(t *tail, b *behind) Hop {
	hop := w.judgeProxied(b, t.backend.object(), "port "+portTitle(t.port), b.service)
	if b.passable() && b.service.fault == noEndpoints && t.backend.slicesErr == nil {
		hop.State = Unknown
		hop.Message += ", for it goes by others than the EndpointSlices"
	}
	return hop
}

// judgePod looks at the pod's own address. One that refuses there what it takes on its loopback listens on the latter only.
func (w *walk) judgePod(t *tail, b *behind) Hop {
	target := strconv.Itoa(int(t.target))
	hop := w.judgeProxied(b, podObject(b.asked), "port "+target, b.pod)
	if b.passable() && b.pod.fault == refused && (b.loopback.fault == answered || b.loopback.fault == strange) {
		hop.Message = fmt.Sprintf("what listens at port %s of %s does so on 127.0.0.1 only: from elsewhere connections are refused",
			target, podObject(b.asked))
		hop.Hint = "have it listen on all addresses, 0.0.0.0 or [::], instead of 127.0.0.1 or localhost"
	}
	return hop
}

// judgeLoopback looks at what the pod answers to itself, which is how a port-forward comes to it.
func (w *walk) judgeLoopback(t *tail, b *behind) Hop {
	pod := podObject(b.asked)
	hop := Hop{Object: pod, Check: CheckRequest, Live: true, State: Broken}
	title := fmt.Sprintf("port %d of its loopback", t.target)
	if b.scheme != schemeTCP {
		title = "GET " + b.path + " of " + title
	} else {
		title = "a connection to " + title
	}
	a := b.loopback
	switch a.fault {
	case answered:
		hop.State, hop.Message = w.judgeStatus(b.question, title, a.status)
	case strange:
		hop.State, hop.Message = OK, title+" is taken, and answered by something other than HTTP"
	case forbidden:
		needs := right{"create", "pods/portforward", pod.Namespace}
		hop.State, hop.Hint = Unknown, rightHint(needs)
		hop.Message = title + " takes the right to " + needs.String()
	case refused:
		hop.Hint = t.mend(containerPorts(b.asked, t.port.Protocol))
		hop.Message = fmt.Sprintf("nothing listens at target port %d of %s", t.target, pod)
		if b.passable() && b.pod.fault == answered {
			// It listens, but on the pod's own address alone.
			hop.State, hop.Hint = Warning, ""
			hop.Message = title + " is refused, which only a port-forward comes to"
			break
		}
		if declared := containerPorts(b.asked, t.port.Protocol); len(declared) > 0 {
			hop.Message += "; its containers have " + containerTitles(declared)
		}
	case silent:
		hop.Message = fmt.Sprintf("%s gets no answer within %v", title, answerTimeout)
		hop.Hint = fmt.Sprintf("see 'kubectl logs %s -n %s'", pod.Name, pod.Namespace)
	case dropped:
		hop.Message = title + " gets no answer: the connection is closed"
		hop.Hint = fmt.Sprintf("see 'kubectl logs %s -n %s'", pod.Name, pod.Namespace)
	case unreachable, untrusted, noEndpoints, other:
		hop.State = Unknown
		hop.Message = fmt.Sprintf("%s fails: %s", title, strings.TrimSpace(a.err.Error()))
	}
	return hop
}
