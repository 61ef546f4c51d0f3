// SPDX-License-Identifier: Apache-2.0

package podforward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy/portforward"
)

const (
	// holdTimeout is how long a caller is held, in all, while nobody can be reached.
	holdTimeout = 30 * time.Second
	// holdLimit is how many are held at a time. More are reset.
	holdLimit = 1024
	// refusalTimeout is how long one is given to one pod after the other that refuses it.
	refusalTimeout = 5 * time.Second
	// lastWords is how long a caller may go on after the pod has ended.
	lastWords = time.Second
)

// retryBackoff is between the attempts to give a caller to a pod. The second one comes at once.
func retryBackoff() wait.Backoff {
	return wait.Backoff{Duration: 20 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 1 << 20, Cap: 500 * time.Millisecond}
}

// verdict is what has become of a caller that was given to a pod.
type verdict int

const (
	// ended means that it is over.
	ended verdict = iota
	// refused means that the pod has not taken it.
	refused
	// unreached means that the pod, or the way there, is gone, and the caller may be given to another one.
	unreached
)

// serve gives a caller to a pod, and to others until one takes it.
func (f *Forward) serve(ctx context.Context, conn Conn) {
	f.callers.Add(1)
	defer f.callers.Add(-1)
	c := &caller{conn: conn, sent: &f.sent}
	defer c.abort() // whom nobody has taken; of a connection that has ended, it does nothing
	defer context.AfterFunc(ctx, c.abort)()
	tries, backoff := 0, retryBackoff()
	var since time.Time // of refusals in a row
	for ctx.Err() == nil && c.waited < holdTimeout {
		l, pod, _ := f.pool.take()
		if l == nil {
			if l, pod = f.hold(ctx, c); l == nil {
				return
			}
			since = time.Time{}
		}
		began := time.Now()
		result, err := f.give(ctx, c, l, pod)
		l.release()
		switch result {
		case ended:
			return
		case unreached:
		case refused:
			f.refused(pod.Name, err)
			f.pool.shun(l)
			if since.IsZero() {
				since = began
			}
			if time.Since(since) > refusalTimeout {
				return
			}
		}
		tries++
		if tries > 1 {
			again := backoff.Step()
			pause(ctx, again)
			c.waited += again
		}
	}
}

// hold waits for a connection to a pod, and returns none if the caller goes before, or if there are too many to hold.
func (f *Forward) hold(ctx context.Context, c *caller) (*link, *corev1.Pod) {
	defer f.held.Add(-1)
	if f.held.Add(1) > holdLimit {
		return nil, nil
	}
	began := time.Now()
	defer func() { c.waited += time.Since(began) }()
	ctx, cancel := context.WithTimeout(ctx, holdTimeout-c.waited)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.listen(cancel)
	}()
	defer c.interrupt(done)
	return f.pool.await(ctx)
}

// give gives a caller to a pod.
func (f *Forward) give(ctx context.Context, c *caller, l *link, pod *corev1.Pod) (verdict, error) {
	port, err := f.port(pod)
	if err != nil {
		return refused, err
	}
	began := time.Now()
	s, err := l.open(ctx, port)
	if err != nil {
		c.waited += time.Since(began)
		return unreached, err // nothing has been sent
	}
	defer s.Close()
	a := newAttempt(s)
	done := make(chan struct{})
	var gone error
	go func() {
		defer close(done)
		if gone = c.say(a); gone != nil {
			_ = s.Close() // it ends the answer
		}
	}()
	first := chunks.Get().(*chunk)
	first.n, err = s.Read(first.bytes[:])
	if first.n == 0 && err != nil {
		chunks.Put(first)
		close(a.refused)
		c.interrupt(done)
		return f.unanswered(ctx, c, gone, l, err)
	}
	close(a.taken)
	if !f.relay(c, l, s, first, err) {
		c.abort()
	}
	<-done
	_ = c.conn.Close() // what it has not read yet it still gets
	return ended, nil
}

// unanswered decides what becomes of a caller whose connection has ended before anything was answered.
func (f *Forward) unanswered(ctx context.Context, c *caller, gone error, l *link, err error) (verdict, error) {
	if gone != nil || ctx.Err() != nil || c.lost {
		return ended, err
	}
	failure, ok := errors.AsType[*portforward.StreamError](err)
	switch {
	case ok && failure.Refused():
		return refused, err
	case errors.Is(err, net.ErrClosed):
		return ended, err
	case repeatable(c.kept) && (errors.Is(err, portforward.ErrCut) || !f.pool.stays(ctx, l.current())):
		return unreached, err
	case errors.Is(err, io.EOF):
		// The pod has heard it and has nothing to say.
		_ = c.conn.Close()
	}
	return ended, err
}

// relay passes the pod's answer on, from its first piece and what that was read with, and reports whether it came to its end.
func (f *Forward) relay(c *caller, l *link, s Stream, first *chunk, err error) bool {
	a := newAnswer(&l.burden)
	defer l.burden.end(a)
	delivered := make(chan error, 1)
	go func() {
		err := a.deliver(c.conn, &f.received)
		if err != nil {
			a.abandon(err)
			_ = s.Close() // it ends the answer
		}
		delivered <- err
	}()
	a.put(first)
	for err == nil {
		next := chunks.Get().(*chunk)
		if next.n, err = s.Read(next.bytes[:]); next.n > 0 {
			a.put(next)
		}
	}
	a.end()
	if failed := <-delivered; failed != nil || !errors.Is(err, io.EOF) {
		return false
	}
	// What it goes on to say nobody hears, but closing at once might take away what it has not read yet.
	_ = c.conn.CloseWrite()
	_ = c.conn.SetReadDeadline(time.Now().Add(lastWords))
	return true
}

// Await waits until a pod takes connections, by opening one and closing it. If ctx ends before, it returns what was last in the
// way.
func (f *Forward) Await(ctx context.Context) error {
	backoff := retryBackoff()
	var last error
	for ctx.Err() == nil {
		l, pod := f.pool.await(ctx)
		if l == nil {
			break
		}
		err := f.try(ctx, l, pod)
		l.release()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = fmt.Errorf("pod %s: %w", pod.Name, err)
		}
		f.pool.shun(l)
		pause(ctx, backoff.Step())
	}
	if last == nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), last)
}

// try opens a connection, and waits for a moment whether the pod refuses it.
func (f *Forward) try(ctx context.Context, l *link, pod *corev1.Pod) error {
	port, err := f.port(pod)
	if err != nil {
		return err
	}
	s, err := l.open(ctx, port)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	var said error
	go func() {
		defer close(done)
		_, said = s.Read(make([]byte, 1))
	}()
	timer := time.NewTimer(settled)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	_ = s.Close() // which ends the reading
	<-done
	if failure, ok := errors.AsType[*portforward.StreamError](said); ok && failure.Refused() || errors.Is(said, portforward.ErrCut) {
		return said
	}
	return nil
}
