using Nibble.Cli;

namespace Nibble.Tests.Cli;

public class TrainCommandTests
{
    [Fact]
    public void Train_without_the_trainer_names_the_one_command_that_builds_it()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            Assert.SkipWhen(File.Exists(Path.Combine(folder.FullName, "src", "Nibble.Training", "bin", "Release", "net10.0", "nibble-train.dll")), "the trainer is built");
        Assert.Contains("dotnet build src/Nibble.Training -c Release", CommandRun.Of("train", "--to", "Linear2").ErrorLine(CommandLine.Unusable), StringComparison.Ordinal);
    }
}
