// A market in Go with many bugs. `market BUG [DEPTH] [thread]` runs into one of them.
package main

import (
	"os"
	"strconv"
)

type item struct {
	price int
	next  *item
}

type seller interface{ sell() int }

type stand struct{ items []item }

func (s *stand) sell() int { return s.items[zero+2].price }

var zero = len(os.Getenv("MARKET_ZERO"))
var nothing *item
var counts map[string]int

func priceOf(i *item) int     { return i.price }
func total() int              { return priceOf(nothing) + zero }
func count(name string)       { counts[name]++ }
func countAll() int           { count("tea"); return zero }
func sellFirst(s seller) int  { return s.sell() }
func openStand() int          { return sellFirst(&stand{items: make([]item, 1)}) + zero }
func average(sum, n int) int  { return sum / n }
func report() int             { return average(100, zero) + zero }
func refuse(why string)       { panic("refused: " + why) }
func openMarket() int         { refuse("full"); return zero }
func asStand(s any) *stand    { return s.(*stand) }
func findStand() int          { return len(asStand(&item{}).items) + zero }
func closeTwice(c chan int)   { close(c); close(c) }
func endOfDay() int           { closeTwice(make(chan int)); return zero }
func walk(i *item, depth int) int {
	if depth <= 0 {
		return i.price
	}
	return walk(i, depth-1) + zero + 1
}
func countStock(depth int) int { return walk(nothing, depth) + zero }
func guarded() (n int) {
	defer func() {
		if r := recover(); r != nil {
			panic(r)
		}
	}()
	return nothing.next.price
}
func guardedSale() int { return guarded() + zero }
func apply(f func(int) int) int { return f(1) }
func discount() int {
	return apply(func(n int) int { return nothing.price / n })
}

func run(bug, depth int) int {
	switch bug {
	case 1:
		return total()
	case 2:
		return countAll()
	case 3:
		return openStand()
	case 4:
		return report()
	case 5:
		return openMarket()
	case 6:
		return findStand()
	case 7:
		return endOfDay()
	case 8:
		return countStock(depth)
	case 9:
		return guardedSale()
	case 10:
		return discount()
	}
	return 0
}

func main() {
	bug, _ := strconv.Atoi(os.Args[1])
	depth := 3
	if len(os.Args) > 2 {
		depth, _ = strconv.Atoi(os.Args[2])
	}
	if len(os.Args) <= 3 {
		os.Exit(run(bug, depth))
	}
	done := make(chan int)
	go func() { done <- run(bug, depth) }()
	os.Exit(<-done)
}
