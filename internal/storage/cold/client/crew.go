package client

import "sync"

// crewSize is how many files are under way at a time: small ones are bound by the latency of each.
const crewSize = 16

// crew does pieces of work, several at a time.
type crew struct {
	places chan struct{}
	wg     sync.WaitGroup
}

func newCrew() *crew { return &crew{places: make(chan struct{}, crewSize)} }

// do has f done, and waits for a place.
func (c *crew) do(f func()) {
	c.places <- struct{}{}
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		defer func() { <-c.places }()
		f()
	}()
}

func (c *crew) wait() { c.wg.Wait() }
