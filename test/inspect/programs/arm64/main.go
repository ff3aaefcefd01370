// Crashes on a null pointer four calls down; Go keeps its frame pointers a word below the stack pointer, and no .eh_frame.
package main

type node struct{ value int }

//go:noinline
func goFour(missing *node) int { return missing.value }

//go:noinline
func goThree(missing *node) int { return goFour(missing) + 1 }

//go:noinline
func goTwo(missing *node) int { return goThree(missing) + 1 }

//go:noinline
func goOne(missing *node) int { return goTwo(missing) + 1 }

func main() {
	println(goOne(nil))
}
