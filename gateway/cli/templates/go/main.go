package main

import (
	"context"
	"log"

	"flowspan.dev/go/components"
)

func main() {
	server := components.New(components.Options{})
	components.Register(server, "/count", count, components.Description("The number of words of a text."))
	components.Register(server, "/total", total, components.Description("The words of many texts."))
	if err := server.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
