// Package loop joins the engine, the host and the state directory. One goroutine, the loop, owns the engine: it takes packets,
// news of links, requests and the time, steps the engine, sends adverts, and hands everything else that an effect asks for
// to the [hands], a goroutine that does things in their order and may wait for the kernel. So nothing can keep an advert.
package loop
