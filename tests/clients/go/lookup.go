package main

import (
	"context"
	"fmt"
	"os"

	"github.com/varlink/go/varlink"
)

func main() {
	registry, err := varlink.NewConnection(context.Background(), "unix:"+os.Getenv("HVSOCK_SOCKET"))
	var reply map[string]map[string]map[string]interface{}
	if err == nil {
		name := map[string]string{"name": os.Args[1]}
		err = registry.Call(context.Background(), "io.hvsock.Registry.Lookup", name, &reply)
	}
	context := reply["service"]["context"]
	fmt.Println(context["name"], context["guid"], err)
}
