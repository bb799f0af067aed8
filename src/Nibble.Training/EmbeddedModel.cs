using Nibble.Core;

namespace Nibble.Training;

/// <summary>Finds the model that a command line means: a path, or nothing for the embedded model.</summary>
internal static class EmbeddedModel
{
    public static string Resolve(string? argument)
    {
        if (argument is null) return Find() ?? throw new UnusableInputException(
            "the embedded model models/nibble-5m was not found near the program; name a model, or set NIBBLE_HOME to the folder that holds models/");
        if (!File.Exists(argument) && !Directory.Exists(argument))
            throw new UnusableInputException($"{argument}: there is no such file or folder; a model is a .gguf file or a Hugging Face folder");
        return argument;
    }

    /// <summary>Below NIBBLE_HOME where that is set, else below the program's folder or the nearest folder above it.</summary>
    private static string? Find()
    {
        string? home = Environment.GetEnvironmentVariable("NIBBLE_HOME");
        for (DirectoryInfo? folder = new(string.IsNullOrEmpty(home) ? AppContext.BaseDirectory : home); folder is not null; folder = folder.Parent)
            if (Path.Combine(folder.FullName, "models", "nibble-5m") is var candidate && Directory.Exists(candidate)) return candidate;
        return null;
    }
}
