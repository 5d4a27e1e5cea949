// The life of a container group, by the official Go SDK, on mock-eci.
//
//	go mod init example && go get github.com/aliyun/alibaba-cloud-sdk-go && go mod tidy
//	cargo run -p mock-eci &
//	go run .
package main

import (
	"fmt"
	"log"
	"os"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/eci"
)

const region = "cn-hangzhou"

// The only two lines that differ from the real service.
var endpoint, scheme = setting("ECI_ENDPOINT", "127.0.0.1:8090"), "HTTP"

func main() {
	client, err := eci.NewClientWithAccessKey(
		region, setting("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid"), setting("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret"),
	)
	check(err)
	client.Domain = endpoint

	create := eci.CreateCreateContainerGroupRequest()
	create.Scheme = scheme
	create.ContainerGroupName = "hello"
	create.Cpu, create.Memory = requests.NewFloat(0.5), requests.NewFloat(1)
	create.RestartPolicy = "Never"
	create.Container = &[]eci.CreateContainerGroupContainer{{
		Name:    "hello",
		Image:   "registry.cn-hangzhou.aliyuncs.com/eci_open/busybox:1.30",
		Command: []string{"sh", "-c"},
		Arg:     []string{"echo hello; sleep 3600"},
	}}
	created, err := client.CreateContainerGroup(create)
	check(err)
	fmt.Println("created", created.ContainerGroupId)

	for range 300 {
		describe := eci.CreateDescribeContainerGroupsRequest()
		describe.Scheme = scheme
		describe.ContainerGroupIds = fmt.Sprintf("[%q]", created.ContainerGroupId)
		described, err := client.DescribeContainerGroups(describe)
		check(err)
		if found := described.ContainerGroups[0]; found.Status == "Running" {
			fmt.Println(found.Status, "at", found.IntranetIp)
			break
		}
		time.Sleep(200 * time.Millisecond)
	}

	read := eci.CreateDescribeContainerLogRequest()
	read.Scheme = scheme
	read.ContainerGroupId, read.ContainerName, read.Tail = created.ContainerGroupId, "hello", requests.NewInteger(10)
	logs, err := client.DescribeContainerLog(read)
	check(err)
	fmt.Print(logs.Content)

	remove := eci.CreateDeleteContainerGroupRequest()
	remove.Scheme = scheme
	remove.ContainerGroupId = created.ContainerGroupId
	_, err = client.DeleteContainerGroup(remove)
	check(err)
	fmt.Println("deleted", created.ContainerGroupId)
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
