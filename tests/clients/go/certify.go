// Everything that varlink-go, which was not written here, can ask: what the service is, its interface (read by
// varlink-go's own parser), several replies, an error with its parameters, and a call that expects no reply.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/varlink/go/varlink"
	"github.com/varlink/go/varlink/idl"
)

func must(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "certify: %s: %v\n", what, err)
		os.Exit(1)
	}
}

func main() {
	ctx := context.Background()
	registry, err := varlink.NewConnection(ctx, "unix:"+os.Getenv("HVSOCK_SOCKET"))
	must(err, "connect")
	defer registry.Close()

	var vendor, product, version, url string
	var interfaces []string
	must(registry.GetInfo(ctx, &vendor, &product, &version, &url, &interfaces), "GetInfo")
	fmt.Println("info:", product, interfaces)

	for _, name := range interfaces {
		description, err := registry.GetInterfaceDescription(ctx, name)
		must(err, "GetInterfaceDescription")
		// varlink-go's parser knows no capitals in an interface's name, which varlink.org allows.
		parsed, err := idl.New(strings.Replace(description, "interface "+name, "interface "+strings.ToLower(name), 1))
		must(err, "the interface "+name)
		fmt.Println("interface:", name, len(parsed.Methods), len(parsed.Errors))
	}

	receive, err := registry.Send(ctx, "io.hvsock.Registry.List", nil, varlink.More)
	must(err, "List")
	for flags := uint64(varlink.Continues); flags&varlink.Continues != 0; {
		var reply struct {
			Service struct{ Context struct{ Name string } }
		}
		flags, err = receive(ctx, &reply)
		must(err, "List")
		fmt.Println("service:", reply.Service.Context.Name)
	}

	_, err = registry.Send(ctx, "io.hvsock.Registry.Status", nil, varlink.Oneway)
	must(err, "oneway")
	err = registry.Call(ctx, "io.hvsock.Registry.Describe", map[string]string{"name": "none"}, nil)
	refused, is := err.(*varlink.Error)
	if !is {
		must(fmt.Errorf("answered %v", err), "Describe none")
	}
	var parameters struct{ Name string }
	must(json.Unmarshal(*refused.Parameters.(*json.RawMessage), &parameters), "the error's parameters")
	fmt.Println("error:", refused.Name, parameters.Name)
	_, is = registry.Call(ctx, "io.hvsock.Registry.Nothing", nil, nil).(*varlink.MethodNotFound)
	fmt.Println("MethodNotFound:", is)
	_, is = registry.Call(ctx, "io.hvsock.Registry.Describe", nil, nil).(*varlink.InvalidParameter)
	fmt.Println("InvalidParameter:", is)
}
