// C code, called from Go, follows a null pointer.
package main

/*
static int deep(int *pointer, int left) { return left == 0 ? *pointer : deep(pointer, left - 1) + 1; }
int boom(int left) { return deep((int *)(long)(left - left), left); }
*/
import "C"
import "fmt"

//go:noinline
func callC(left int) int { return int(C.boom(C.int(left))) }

func main() { fmt.Println(callC(3)) }
