// Goroutines that wait in all the usual ways, until the process is killed. "ready", with its id, says that they do.
package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

type pool struct {
	jobs chan int
	lock sync.Mutex
	all  sync.WaitGroup
}

func (p *pool) worker() {
	for job := range p.jobs {
		fmt.Println(job)
	}
}

func (p *pool) locked() { p.lock.Lock() }

func (p *pool) waits() { p.all.Wait() }

func selects(one, other chan int) {
	select {
	case <-one:
	case <-other:
	}
}

func accepts(listener net.Listener) { _, _ = listener.Accept() }

func reads(descriptor int) { _, _ = syscall.Read(descriptor, make([]byte, 1)) }

//go:noinline
func deep(depth int, room [16]int) int {
	if depth == 0 {
		time.Sleep(time.Hour)
		return room[0]
	}
	return deep(depth-1, room) + room[depth%16]
}

var stop bool

var inC = func() { select {} }

//go:noinline
func spins() int {
	sum := 0
	for !stop {
		sum += 1
	}
	return sum
}

func main() {
	p := &pool{jobs: make(chan int)}
	p.lock.Lock()
	p.all.Add(1)
	for range [18]int{} {
		go p.worker()
	}
	go p.locked()
	go p.waits()
	go selects(make(chan int), make(chan int))
	go func() { <-(chan int)(nil) }()
	go func() { _ = deep(40, [16]int{}) }()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go accepts(listener)
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		panic(err)
	}
	go reads(ends[0])
	go spins()
	go inC()
	time.Sleep(300 * time.Millisecond)
	runtime.GC()
	fmt.Println("ready", os.Getpid())
	time.Sleep(time.Hour)
}
