#include "support/aws_things.h"

#include <stdexcept>

#include "support/run_task.h"

namespace lifeboat::testing {

namespace {

constexpr aws::QueryService kAutoScaling{"autoscaling", "2011-01-01"};
constexpr aws::QueryService kBalancing{"elasticloadbalancing", "2015-12-01"};
constexpr aws::QueryService kEc2{"ec2", "2016-11-15"};
constexpr aws::QueryService kSns{"sns", "2010-03-31"};
constexpr aws::QueryService kCloudWatch{"monitoring", "2010-08-01"};
const std::string kEcsTarget = "AmazonEC2ContainerServiceV20141113.";
const std::string kBoundsTarget = "AnyScaleFrontendService.";

/// hook.py, zipped: `call` answers {"warmed": execution}, `fail` raises RuntimeError("no such tenant").
constexpr const char* kHookZip =
    "UEsDBBQAAAAAAAAAIVwSXCbuiQAAAIkAAAAHAAAAaG9vay5weWRlZiBjYWxsKGV2ZW50LCBjb250ZXh0KToKICAgIHJldHVybiB7Indhcm1lZCI6IGV2ZW50WyJleG"
    "VjdXRpb24iXX0K"
    "CgpkZWYgZmFpbChldmVudCwgY29udGV4dCk6CiAgICByYWlzZSBSdW50aW1lRXJyb3IoIm5vIHN1Y2ggdGVuYW50IikKUEsBAhQDFAAAAAAAAAAhXBJcJu6JAAAAiQ"
    "AAAAcAAAAAAAAA"
    "AAAAAKQBAAAAAGhvb2sucHlQSwUGAAAAAAEAAQA1AAAArgAAAAAA";

/// The text between <name> and </name>, each time that it stands there.
std::vector<std::string> TextsOf(const std::string& xml, const std::string& name) {
  std::vector<std::string> texts;
  const std::string open = "<" + name + ">";
  for (std::size_t at = xml.find(open); at != std::string::npos; at = xml.find(open, at + 1)) {
    const std::size_t begin = at + open.size();
    texts.push_back(xml.substr(begin, xml.find('<', begin) - begin));
  }
  return texts;
}

aws::QueryParameters SizesIn(const std::string& name, const ComputeSizes& sizes) {
  return {{"AutoScalingGroupName", name},
          {"MinSize", std::to_string(sizes.least.value_or(0))},
          {"MaxSize", std::to_string(sizes.most.value_or(sizes.desired))},
          {"DesiredCapacity", std::to_string(sizes.desired)}};
}

std::string ResourceOf(const std::string& name) { return "service/" + name + "/web"; }

}  // namespace

AwsThings::AwsThings(boost::asio::io_context& context, std::map<std::string, std::string> urls)
    : context_(context), client_(MakeAwsClient(context, std::move(urls))) {}

std::string AwsThings::Send(aws::Call call) {
  const std::string operation = call.operation;
  const auto reply = Await(context_, client_->Send(std::move(call), 30s));
  if (!reply) throw std::runtime_error(operation + ": " + reply.error().Text());
  return reply->body;
}
std::string AwsThings::Query(const aws::QueryService& service, const std::string& region, const std::string& action,
                             const aws::QueryParameters& parameters) {
  return Send(aws::QueryCall(service, region, action, parameters, aws::Effect::kOnce));
}
Json AwsThings::JsonOf(const std::string& service, const std::string& target, const std::string& region, const Json& body) {
  return AwsJson(context_, *client_, service, target, region, body);
}

// ---- machines ----

void AwsThings::MakeGroup(const std::string& region, const std::string& name, const ComputeSizes& sizes) {
  Query(kAutoScaling, region, "CreateLaunchConfiguration",
        {{"LaunchConfigurationName", name}, {"ImageId", "ami-12c6146b"}, {"InstanceType", "t2.micro"}});
  aws::QueryParameters parameters = SizesIn(name, sizes);
  parameters.Text("LaunchConfigurationName", name).Text("AvailabilityZones.member.1", region + "a");
  Query(kAutoScaling, region, "CreateAutoScalingGroup", parameters);
}
void AwsThings::ResizeGroup(const std::string& region, const std::string& name, const ComputeSizes& sizes) {
  Query(kAutoScaling, region, "UpdateAutoScalingGroup", SizesIn(name, sizes));
}
ComputeSizes AwsThings::SizesOfGroup(const std::string& region, const std::string& name) {
  const std::string answer = Query(kAutoScaling, region, "DescribeAutoScalingGroups", {{"AutoScalingGroupNames.member.1", name}});
  const auto number = [&answer](const char* of) { return std::stoull(TextsOf(answer, of).at(0)); };
  return ComputeSizes{number("MinSize"), number("DesiredCapacity"), number("MaxSize")};
}
std::string AwsThings::MakeTargetGroup(const std::string& region) {
  const std::string vpc = TextsOf(Query(kEc2, region, "CreateVpc", {{"CidrBlock", "10.9.0.0/16"}}), "vpcId").at(0);
  return TextsOf(Query(kBalancing, region, "CreateTargetGroup",
                       {{"Name", "web-" + RandomHex(4)}, {"Protocol", "HTTP"}, {"Port", "80"}, {"VpcId", vpc}}),
                 "TargetGroupArn")
      .at(0);
}
void AwsThings::Register(const std::string& region, const std::string& target_group, const std::string& group) {
  const std::string answer = Query(kAutoScaling, region, "DescribeAutoScalingGroups", {{"AutoScalingGroupNames.member.1", group}});
  aws::QueryParameters targets = {{"TargetGroupArn", target_group}};
  std::size_t at = 0;
  for (const std::string& id : TextsOf(answer, "InstanceId")) targets.Text("Targets.member." + std::to_string(++at) + ".Id", id);
  Query(kBalancing, region, "RegisterTargets", targets);
}

// ---- containers ----

void AwsThings::MakeService(const std::string& region, const std::string& name, const ComputeSizes& sizes) {
  JsonOf("ecs", kEcsTarget + "CreateCluster", region, {{"clusterName", name}});
  JsonOf("ecs", kEcsTarget + "RegisterTaskDefinition", region,
         {{"family", "web"}, {"containerDefinitions", {{{"name", "web"}, {"image", "web"}, {"memory", 128}}}}});
  JsonOf("ecs", kEcsTarget + "CreateService", region,
         {{"cluster", name}, {"serviceName", "web"}, {"taskDefinition", "web"}, {"desiredCount", 0}});
  // The emulator starts tasks when a count is changed, and none when a service is made.
  JsonOf("ecs", kEcsTarget + "UpdateService", region, {{"cluster", name}, {"service", "web"}, {"desiredCount", sizes.desired}});
  BoundService(region, name, sizes.least.value_or(0), sizes.most.value_or(sizes.desired));
}
void AwsThings::BoundService(const std::string& region, const std::string& name, std::uint64_t least, std::uint64_t most) {
  JsonOf("application-autoscaling", kBoundsTarget + "RegisterScalableTarget", region,
         {{"ServiceNamespace", "ecs"},
          {"ResourceId", ResourceOf(name)},
          {"ScalableDimension", "ecs:service:DesiredCount"},
          {"MinCapacity", least},
          {"MaxCapacity", most}});
}
ComputeSizes AwsThings::SizesOfService(const std::string& region, const std::string& name) {
  const Json services =
      JsonOf("ecs", kEcsTarget + "DescribeServices", region, {{"cluster", name}, {"services", Json::array({"web"})}});
  const Json targets = JsonOf("application-autoscaling", kBoundsTarget + "DescribeScalableTargets", region,
                              {{"ServiceNamespace", "ecs"}, {"ResourceIds", Json::array({ResourceOf(name)})}});
  const Json& bounds = targets.at("ScalableTargets").at(0);
  return ComputeSizes{NumberAt(bounds, "MinCapacity"), NumberAt(services.at("services").at(0), "desiredCount"),
                      NumberAt(bounds, "MaxCapacity")};
}

// ---- functions, and who is told ----

void AwsThings::MakeFunction(const std::string& region, const std::string& name, bool fails) {
  const Json body = {{"FunctionName", name},
                     {"Runtime", "python3.11"},
                     {"Role", "arn:aws:iam::123456789012:role/hooks"},
                     {"Handler", fails ? "hook.fail" : "hook.call"},
                     {"Timeout", 20},
                     {"Code", {{"ZipFile", kHookZip}}}};
  aws::Call call;
  call.service = "lambda";
  call.region = region;
  call.operation = "CreateFunction";
  call.path = "/2015-03-31/functions";
  call.headers = {{"Content-Type", "application/json"}};
  call.body = body.dump();
  Send(std::move(call));
}

AwsThings::Topic AwsThings::MakeTopic(const std::string& region, const std::string& name) {
  Topic topic;
  topic.region = region;
  topic.arn = TextsOf(Query(kSns, region, "CreateTopic", {{"Name", name}}), "TopicArn").at(0);
  topic.queue = TextAt(JsonOf("sqs", "AmazonSQS.CreateQueue", region, {{"QueueName", name}}), "QueueUrl");
  const std::string account = topic.arn.substr(topic.arn.find(region) + region.size() + 1, 12);
  Query(kSns, region, "Subscribe",
        {{"TopicArn", topic.arn}, {"Protocol", "sqs"}, {"Endpoint", "arn:aws:sqs:" + region + ":" + account + ":" + name}});
  return topic;
}
std::vector<Json> AwsThings::Heard(const Topic& topic) {
  std::vector<Json> heard;
  while (true) {
    const Json received = JsonOf("sqs", "AmazonSQS.ReceiveMessage", topic.region,
                                 {{"QueueUrl", topic.queue}, {"MaxNumberOfMessages", 10}, {"WaitTimeSeconds", 0}});
    const Json& messages = MemberAt(received, "Messages");
    if (!messages.is_array() || messages.empty()) return heard;
    for (const Json& message : messages) {
      const Json envelope = *ParseJson(TextAt(message, "Body"), "a message");
      Json notice = *ParseJson(TextAt(envelope, "Message"), "a notice");
      notice["subject"] = TextAt(envelope, "Subject");
      heard.push_back(std::move(notice));
      JsonOf("sqs", "AmazonSQS.DeleteMessage", topic.region,
             {{"QueueUrl", topic.queue}, {"ReceiptHandle", TextAt(message, "ReceiptHandle")}});
    }
  }
}
void AwsThings::MakeBus(const std::string& region, const std::string& name) {
  const auto make = [&](const std::string& action, const Json& body) {
    Send(aws::JsonCall({"events", "AWSEvents", "1.1"}, region, action, body, aws::Effect::kOnce));
  };
  make("CreateEventBus", {{"Name", name}});
  make("PutRule", {{"Name", name}, {"EventBusName", name}, {"EventPattern", R"({"source":["lifeboat"]})"}, {"State", "ENABLED"}});
}

// ---- alarms ----

void AwsThings::MakeAlarm(const std::string& region, const std::string& name) {
  Query(kCloudWatch, region, "PutMetricAlarm",
        {{"AlarmName", name},
         {"Namespace", "orders"},
         {"MetricName", "errors"},
         {"Statistic", "Sum"},
         {"Period", "60"},
         {"EvaluationPeriods", "1"},
         {"Threshold", "1"},
         {"ComparisonOperator", "GreaterThanThreshold"}});
}
void AwsThings::SetAlarm(const std::string& region, const std::string& name, const std::string& state, const std::string& reason) {
  Query(kCloudWatch, region, "SetAlarmState", {{"AlarmName", name}, {"StateValue", state}, {"StateReason", reason}});
}

// ---- buckets ----

void AwsThings::Bucket(const std::string& region, const std::string& bucket, const std::string& query, const std::string& body) {
  aws::Call call;
  call.service = "s3";
  call.region = region;
  call.bucket = bucket;
  call.operation = "PutBucket " + query;
  call.method = "PUT";
  call.headers = {{"Content-Type", "application/xml"}};
  if (!query.empty()) call.query = {{query, ""}};
  call.body = body;
  Send(std::move(call));
}
void AwsThings::MakeBucket(const std::string& region, const std::string& name) {
  const std::string space = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  // us-east-1 is where a bucket is that names no place, and may not be named.
  Bucket(region, name, "",
         region == "us-east-1" ? ""
                               : "<CreateBucketConfiguration" + space + "<LocationConstraint>" + region +
                                     "</LocationConstraint></CreateBucketConfiguration>");
  Bucket(region, name, "versioning", "<VersioningConfiguration" + space + "<Status>Enabled</Status></VersioningConfiguration>");
}
void AwsThings::CopyBucket(const std::string& region, const std::string& from, const std::string& to) {
  Bucket(region, from, "replication",
         "<ReplicationConfiguration "
         "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Role>arn:aws:iam::123456789012:role/copies</Role><Rule><ID>all</ID>"
         "<Status>Enabled</Status><Priority>1</Priority><Filter><Prefix></Prefix></"
         "Filter><DeleteMarkerReplication><Status>Enabled</Status>"
         "</DeleteMarkerReplication><Destination><Bucket>arn:aws:s3:::" +
             to + "</Bucket></Destination></Rule></ReplicationConfiguration>");
}

}  // namespace lifeboat::testing
