#include "base/drive.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <optional>
#include <thread>

namespace lifeboat {
namespace {

TEST(DriveUntil, WaitsForAnAnswerFromAPoolWhileTheContextItselfHasNothingToDo) {
  boost::asio::io_context context;
  for (int question = 0; question < 2; ++question) {
    boost::asio::thread_pool pool(1);
    std::optional<int> answer;
    boost::asio::post(pool, [&] {
      // Long enough for a context without a guard to find nothing to do, and to stop.
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      boost::asio::post(context, [&] { answer = 7; });
    });
    DriveUntil(context, [&] { return answer.has_value(); });
    EXPECT_EQ(answer, 7);
  }
}

TEST(DriveUntil, RunsAContextThatAnEarlierQuestionsLeftoverHasStopped) {
  boost::asio::io_context context;
  context.run();  // nothing to do: it stops
  ASSERT_TRUE(context.stopped());
  bool answered = false;
  boost::asio::post(context, [&] { answered = true; });
  DriveUntil(context, [&] { return answered; });
  EXPECT_TRUE(answered);
}

}  // namespace
}  // namespace lifeboat
