// Driver calls ECI through the official Go SDK on behalf of the tests.
//
// It reads calls from standard input, one JSON object a line, and writes what the SDK made of the answers, one a line:
//
//	{"operation": "DescribeRegions", "parameters": {}}      {"answer": {"RequestId": "…", "Regions": […]}}
//	{"operation": "DeleteContainerGroup", …}                {"code": "InvalidContainerGroupId.NotFound", "status": 404, …}
//	{"operation": ""}                                       {"operations": ["CreateContainerGroup", …]}
//
// Plain values go into the SDK's typed request; lists and structures are put beside them, as this SDK writes
// "<[]string Value>" in place of some. What it has no request for goes through its CommonRequest. An answer must fit the SDK's
// typed response: one that does not is a {"failure": "…"}.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/eci"
)

type call struct {
	Operation  string         `json:"operation"`
	Parameters map[string]any `json:"parameters"`
}

type result struct {
	Answer     json.RawMessage `json:"answer,omitempty"`
	Code       string          `json:"code,omitempty"`
	Status     int             `json:"status,omitempty"`
	Message    string          `json:"message,omitempty"`
	Failure    string          `json:"failure,omitempty"`
	Operations []string        `json:"operations,omitempty"`
}

func main() {
	settings := sdk.NewConfig().WithScheme("HTTP").WithAutoRetry(false)
	credential := credentials.NewAccessKeyCredential(
		os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_ID"), os.Getenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
	)
	client, err := eci.NewClientWithOptions("cn-hangzhou", settings, credential)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: cannot make a client:", err)
		os.Exit(1)
	}
	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		if err := answers.Encode(answer(client, line)); err != nil {
			fmt.Fprintln(os.Stderr, "error: cannot answer:", err)
			os.Exit(1)
		}
	}
}

func answer(client *eci.Client, line []byte) result {
	var asked call
	decoder := json.NewDecoder(strings.NewReader(string(line)))
	// Numbers go on the wire as they were written.
	decoder.UseNumber()
	if err := decoder.Decode(&asked); err != nil {
		return result{Failure: err.Error()}
	}
	if asked.Operation == "" {
		return result{Operations: operations(client)}
	}
	flat := map[string]string{}
	flatten(asked.Parameters, "", flat)

	var request requests.AcsRequest
	var response responses.AcsResponse
	if typed, found := typed(client, asked.Operation); found {
		fill(reflect.ValueOf(typed.request).Elem(), asked.Parameters)
		if err := requests.InitParams(typed.request); err != nil {
			return result{Failure: err.Error()}
		}
		request, response = typed.request, typed.response
	} else {
		common := requests.NewCommonRequest()
		common.Product, common.Version, common.ApiName = "Eci", "2018-08-08", asked.Operation
		common.TransToAcsRequest()
		request, response = common, responses.NewCommonResponse()
	}
	carried := request.GetQueryParams()
	for name, value := range flat {
		if already, given := carried[name]; !given {
			carried[name] = value
		} else if already != value {
			return result{Failure: fmt.Sprintf("the SDK makes %q of %s=%q", already, name, value)}
		}
	}
	request.SetDomain(os.Getenv("ECI_ENDPOINT"))
	switch method := request.(type) {
	case *requests.CommonRequest:
		method.Method = requests.POST
	}
	if err := client.DoAction(request, response); err != nil {
		return refused(err)
	}
	return result{Answer: response.GetHttpContentBytes()}
}

func refused(err error) result {
	var server *sdkerrors.ServerError
	if errors.As(err, &server) {
		return result{Code: server.ErrorCode(), Status: server.HttpStatus(), Message: server.Message()}
	}
	return result{Failure: err.Error()}
}

// flatten gives the parameters as they stand on the wire.
func flatten(value any, name string, into map[string]string) {
	below := func(member string) string {
		if name == "" {
			return member
		}
		return name + "." + member
	}
	switch value := value.(type) {
	case map[string]any:
		for member, item := range value {
			flatten(item, below(member), into)
		}
	case []any:
		for index, item := range value {
			flatten(item, below(fmt.Sprint(index+1)), into)
		}
	default:
		into[name] = fmt.Sprint(value)
	}
}

// fill puts plain values into the fields whose tag has their names; others are left out.
func fill(target reflect.Value, values map[string]any) {
	for index := range target.NumField() {
		value, given := values[target.Type().Field(index).Tag.Get("name")]
		if field := target.Field(index); given && field.Kind() == reflect.String {
			field.SetString(fmt.Sprint(value))
		}
	}
}

// outdated are operations whose answer this SDK has in a form that ECI's definition has no more.
var outdated = map[string]bool{
	"DescribeContainerGroupPrice": true, // DetailInfos is a list there, and an object with a list in it here.
}

type exchange struct {
	request  requests.AcsRequest
	response responses.AcsResponse
}

// typed makes the request and the response of an operation by the types of the client's method.
func typed(client *eci.Client, operation string) (exchange, bool) {
	method := reflect.ValueOf(client).MethodByName(operation)
	if !method.IsValid() || !isOperation(method.Type(), operation) || outdated[operation] {
		return exchange{}, false
	}
	request := reflect.New(method.Type().In(0).Elem())
	rpc := &requests.RpcRequest{}
	request.Elem().FieldByName("RpcRequest").Set(reflect.ValueOf(rpc))
	rpc.InitWithApiInfo("Eci", "2018-08-08", operation, "eci", "openAPI")
	rpc.Method = requests.POST
	response := reflect.New(method.Type().Out(0).Elem())
	response.Elem().FieldByName("BaseResponse").Set(reflect.ValueOf(&responses.BaseResponse{}))
	return exchange{request.Interface().(requests.AcsRequest), response.Interface().(responses.AcsResponse)}, true
}

// operations are the methods X(*XRequest) (*XResponse, error) of the client.
func operations(client *eci.Client) []string {
	var names []string
	value := reflect.ValueOf(client)
	for index := range value.NumMethod() {
		name := value.Type().Method(index).Name
		if isOperation(value.Method(index).Type(), name) {
			names = append(names, name)
		}
	}
	return names
}

func isOperation(method reflect.Type, name string) bool {
	return method.NumIn() == 1 && method.NumOut() == 2 &&
		method.In(0).Kind() == reflect.Pointer && method.In(0).Elem().Name() == name+"Request"
}
