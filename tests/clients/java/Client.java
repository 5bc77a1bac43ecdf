/* What MLflow's Java client does, against the tracking server at the address in args[0]; prints one line for each step that came out right. */
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.mlflow.api.proto.ModelRegistry.ModelVersion;
import org.mlflow.api.proto.Service.*;
import org.mlflow.tracking.ActiveRun;
import org.mlflow.tracking.MlflowClient;
import org.mlflow.tracking.MlflowContext;
import org.mlflow.tracking.MlflowHttpException;
import org.mlflow.tracking.RunsPage;

public class Client {
  static void check(String step, boolean right) {
    if (!right) throw new AssertionError(step);
    System.out.println(step);
  }

  static int count(Iterable<?> items) {
    int n = 0;
    for (Object item : items) n++;
    return n;
  }

  static Map<String, String> tags(Run run) {
    return run.getData().getTagsList().stream().collect(Collectors.toMap(RunTag::getKey, RunTag::getValue));
  }

  static void runs(MlflowClient client, String experiment) {
    RunInfo info = client.createRun(experiment);
    String id = info.getRunId();
    client.logParam(id, "depth", "3");
    client.logMetric(id, "auc", 0.5, 1000, 1);
    client.logMetric(id, "auc", Double.NaN, 2000, 2);
    client.logMetric(id, "auc", 0.75, 3000, 3);
    client.setTag(id, "a", "ü");
    client.logBatch(id, Arrays.asList(Metric.newBuilder().setKey("loss").setValue(1e-3).setTimestamp(1).setStep(-1).build()),
        Arrays.asList(Param.newBuilder().setKey("rate").setValue("0.1").build()), Arrays.asList(RunTag.newBuilder().setKey("b").setValue("c").build()));
    Run run = client.getRun(id);
    check("run", run.getInfo().getStatus() == RunStatus.RUNNING && run.getData().getParamsCount() == 2 && run.getData().getMetricsCount() == 2);
    check("tags", tags(run).get("a").equals("ü") && tags(run).get("b").equals("c"));
    List<Metric> history = client.getMetricHistory(id, "auc");
    check("history", history.size() == 3 && Double.isNaN(history.get(1).getValue()) && history.get(2).getStep() == 3);
    client.deleteTag(id, "b");
    client.setTerminated(id, RunStatus.FINISHED, 5000);
    run = client.getRun(id);
    check("end", run.getInfo().getStatus() == RunStatus.FINISHED && run.getInfo().getEndTime() == 5000 && !tags(run).containsKey("b"));
    client.deleteRun(id);
    check("deleted", client.getRun(id).getInfo().getLifecycleStage().equals("deleted"));
    client.restoreRun(id);
    for (int i = 0; i < 5; i++) client.createRun(experiment);
    RunsPage page = client.searchRuns(Arrays.asList(experiment), "", ViewType.ACTIVE_ONLY, 4, Arrays.asList("attributes.start_time DESC"));
    check("pages", page.getItems().size() == 4 && page.hasNextPage() && count(page.getNextPage().getItems()) == 2);
    check("filter", client.searchRuns(Arrays.asList(experiment), "metrics.auc > 0.7 and params.depth = '4'").isEmpty()
        && client.searchRuns(Arrays.asList(experiment), "params.depth = '3' and tags.a = 'ü'").get(0).getRunId().equals(id));
  }

  static void experiments(MlflowClient client) {
    String id = client.createExperiment("java");
    client.setExperimentTag(id, "team", "red");
    client.renameExperiment(id, "java too");
    Experiment experiment = client.getExperimentByName("java too").get();
    check("experiment", experiment.getExperimentId().equals(id) && client.getExperiment(id).getTags(0).getValue().equals("red"));
    check("missing", !client.getExperimentByName("nosuch").isPresent());
    check("list", client.searchExperiments().getItems().size() == 2);
    client.deleteExperiment(id);
    client.restoreExperiment(id);
    try {
      client.createExperiment("java too");
      check("refused", false);
    } catch (MlflowHttpException e) {
      check("refused", e.getStatusCode() == 400 && e.getBodyMessage().contains("RESOURCE_ALREADY_EXISTS"));
    }
  }


  static void registry(MlflowClient client, String name, String version) {
    ModelVersion found = client.getModelVersion(name, version);
    check("version", found.getName().equals(name) && client.getLatestVersions(name).size() == 1);
    check("source", client.getModelVersionDownloadUri(name, version).startsWith("s3://"));
    check("search", client.searchModelVersions("name='" + name + "'").getItems().size() == 1);
  }

  static void context(MlflowClient client) {
    MlflowContext context = new MlflowContext(client).setExperimentName("java too");
    ActiveRun run = context.startRun("named");
    run.logMetric("m", 1);
    ActiveRun child = context.startRun("child", run.getId());
    child.endRun();
    run.endRun();
    check("nested", tags(client.getRun(child.getId())).get("mlflow.parentRunId").equals(run.getId()));
  }

  public static void main(String[] args) throws Exception {
    try (MlflowClient client = new MlflowClient(args[0])) {
      experiments(client);
      runs(client, client.getExperimentByName("java too").get().getExperimentId());
      context(client);
      registry(client, args[1], "1");
    }
  }
}
