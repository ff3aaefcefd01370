// Panics with a value of the kind that it is told.
package main

import (
	"errors"
	"os"
)

type cart struct{ items []int }

func (c *cart) item(index int) int { return c.items[index] }

func pay(how string) {
	switch how {
	case "text":
		panic(os.Args[2])
	case "error":
		panic(errors.New("no such cart"))
	case "index":
		(&cart{}).item(len(os.Args) + 3)
	case "nil":
		var c *cart
		c.item(0)
	case "number":
		panic(42)
	}
}

func main() { pay(os.Args[1]) }
