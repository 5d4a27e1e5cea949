import com.aliyuncs.AcsResponse;
import com.aliyuncs.DefaultAcsClient;
import com.aliyuncs.RpcAcsRequest;
import com.aliyuncs.eci.model.v20180808.CreateContainerGroupRequest;
import com.aliyuncs.eci.model.v20180808.DeleteContainerGroupRequest;
import com.aliyuncs.eci.model.v20180808.DescribeContainerGroupsRequest;
import com.aliyuncs.eci.model.v20180808.DescribeContainerLogRequest;
import com.aliyuncs.exceptions.ClientException;
import com.aliyuncs.http.ProtocolType;
import com.aliyuncs.profile.DefaultProfile;
import java.util.List;

/**
 * The life of a container group, by the official Java SDK, on mock-eci.
 *
 * <pre>
 * cargo run -p mock-eci &amp;
 * mvn -q dependency:build-classpath -Dmdep.outputFile=classpath
 * java -cp "$(cat classpath)" Life.java
 * </pre>
 */
public class Life {
    private final DefaultAcsClient client = new DefaultAcsClient(DefaultProfile.getProfile(
        "cn-hangzhou",
        setting("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid"),
        setting("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "testsecret")));

    public static void main(String[] args) throws Exception {
        new Life().run();
    }

    private void run() throws Exception {
        var container = new CreateContainerGroupRequest.Container();
        container.setName("hello");
        container.setImage("registry.cn-hangzhou.aliyuncs.com/eci_open/busybox:1.30");
        container.setCommands(List.of("sh", "-c"));
        container.setArgs(List.of("echo hello; sleep 3600"));
        var create = new CreateContainerGroupRequest();
        create.setContainerGroupName("hello");
        create.setCpu(0.5f);
        create.setMemory(1f);
        create.setRestartPolicy("Never");
        create.setContainers(List.of(container));
        String group = call(create).getContainerGroupId();
        System.out.println("created " + group);

        var describe = new DescribeContainerGroupsRequest();
        describe.setContainerGroupIds("[\"" + group + "\"]");
        for (int i = 0; i < 300; i++) {
            var found = call(describe).getContainerGroups().get(0);
            if (found.getStatus().equals("Running")) {
                System.out.println(found.getStatus() + " at " + found.getIntranetIp());
                break;
            }
            Thread.sleep(200);
        }

        var log = new DescribeContainerLogRequest();
        log.setContainerGroupId(group);
        log.setContainerName("hello");
        log.setTail(10);
        System.out.print(call(log).getContent());

        var delete = new DeleteContainerGroupRequest();
        delete.setContainerGroupId(group);
        call(delete);
        System.out.println("deleted " + group);
    }

    private <T extends AcsResponse> T call(RpcAcsRequest<T> request) throws ClientException {
        // The only two lines that differ from the real service.
        request.setSysEndpoint(setting("ECI_ENDPOINT", "127.0.0.1:8090"));
        request.setSysProtocol(ProtocolType.HTTP);
        return client.getAcsResponse(request);
    }

    private static String setting(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }
}
