#include "adapters/aws/protocol.h"

namespace lifeboat::aws {

QueryParameters& QueryParameters::Text(const std::string& name, const std::string& value) {
  if (!value.empty()) pairs_.emplace_back(name, value);
  return *this;
}

QueryParameters& QueryParameters::Number(const std::string& name, std::int64_t value) {
  pairs_.emplace_back(name, std::to_string(value));
  return *this;
}

QueryParameters& QueryParameters::Flag(const std::string& name, bool value) {
  pairs_.emplace_back(name, value ? "true" : "false");
  return *this;
}

QueryParameters& QueryParameters::List(const std::string& prefix, const std::vector<std::string>& values) {
  for (std::size_t at = 0; at < values.size(); ++at) pairs_.emplace_back(prefix + "." + std::to_string(at + 1), values[at]);
  return *this;
}

Call QueryCall(const QueryService& service, std::string region, std::string action, const QueryParameters& parameters,
               Effect effect) {
  Pairs form = {{"Action", action}, {"Version", service.version}};
  form.insert(form.end(), parameters.pairs().begin(), parameters.pairs().end());
  Call call;
  call.service = service.name;
  call.region = std::move(region);
  call.operation = std::move(action);
  call.headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}};
  call.body = QueryString(form);
  call.effect = effect;
  return call;
}

Result<XmlNode> QueryResult(const Reply& reply, const std::string& action) {
  Result<XmlNode> root = ParseXml(reply.body, action);
  if (!root) return root.error();
  if (root->name != action + "Response") return Fail("'" + action + "' was answered by '" + root->name + "'");
  return (*root)[action + "Result"];
}

Call JsonCall(const JsonService& service, std::string region, const std::string& operation, const Json& body, Effect effect) {
  Call call;
  call.service = service.name;
  call.region = std::move(region);
  call.operation = operation;
  call.headers = {{"Content-Type", std::string("application/x-amz-json-") + service.version},
                  {"X-Amz-Target", std::string(service.target_prefix) + "." + operation}};
  call.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
  call.effect = effect;
  return call;
}

Result<Json> JsonResult(const Reply& reply, const std::string& operation) {
  if (reply.body.empty()) return Json::object();
  Result<Json> json = ParseJson(reply.body, operation);
  if (json.ok() && !json->is_object()) return Fail("'" + operation + "' was answered by what is no JSON object");
  return json;
}

Error Unreadable(Effect effect, const Error& problem) {
  return effect == Effect::kReads ? problem : UnknownOutcome(problem.message, problem.hint);
}

}  // namespace lifeboat::aws
